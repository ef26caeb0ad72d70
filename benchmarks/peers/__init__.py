"""One small module a peer, all with the same two functions.

version() -> str                names what is measured
call(case) -> callable or None  what a user of that library would call, its arguments bound and converted beforehand;
                                it returns the value or (value, gradient).  None: the library does not have the loss.
"""

# peer: library it needs.  Peers of one library share a process, different libraries never do.
PEERS = {
    "lossext": "lossext",
    "lossext_fresh": "lossext",
    "lossext_serial": "lossext",
    "limit": "lossext",
    "numpy": "numpy",
    "torch": "torch",
    "torch_compile": "torch",
    "jax": "jax",
    "tensorflow": "tensorflow",
    "mindspore": "mindspore",
    "numba": "numba",
    "sklearn": "sklearn",
}
