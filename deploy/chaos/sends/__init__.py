"""Kill -9 at every send: each use case is ended at its n-th call, asked for again, and compared with a life unharmed.

The parent has everything imported and forks, so that one death costs a fraction of a second. The plain event loop
sends by `sendto`; `pwrite64` is what SQLite writes its file by.
"""
