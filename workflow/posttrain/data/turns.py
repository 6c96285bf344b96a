"""A turn of a conversation, for who makes one: the plan too, which opens no parquet."""


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}
