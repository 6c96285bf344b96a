"""What answers: one engine a library. Each has `Engine(folder, device).answer(conversations, keys, sampling)`."""
