"""Between nodes: who is who, signing, sealing, the hub and the link to it; the bytes are those of docs/protocol.md."""
