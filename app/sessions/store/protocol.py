"""The protocol between processes of different releases: how the rows of steps are read.

A release that changes what such a row means (the grammar of paths, the shape of `input`, what a
composite waits for, who does what after a step) adds 1 to `PROTOCOL`. Workers take the steps of the
protocols from `OLDEST` to their own; a newer step waits for a newer worker. So that a deployment
can be rolling, a release knows the protocol of the release before.
"""

PROTOCOL = 3
OLDEST = 1

# Of rows whose `input` is all that a step sees, since the composite above it sees nothing. In newer
# ones it is what lies beyond that of the composites above.
WHOLE_SCOPE = 2

# Of a step `t`: whether this release knows its protocol.
KNOWN_SQL = f"t.protocol BETWEEN {OLDEST} AND {PROTOCOL}"
