"""What is asked of the hub: what its ids stand for, and what it answers when it refuses."""
