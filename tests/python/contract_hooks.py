"""What Schemathesis asks about, for contract.py: mostly what is there, and now and then something that it made up."""

import json
import os
import zlib

import schemathesis

NAMES = json.loads(os.environ["TARN_CONTRACT_NAMES"])
# Of so many made-up names one is kept.
KEEP_ONE_OF = 6


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if not path_parameters:
        return path_parameters
    # What was made up decides, so that a seed repeats the run.
    chance = zlib.crc32(repr(sorted(path_parameters.items())).encode())
    for name in path_parameters:
        known = NAMES.get(name)
        if known and chance % KEEP_ONE_OF:
            path_parameters[name] = known[chance // KEEP_ONE_OF % len(known)]
    return path_parameters
