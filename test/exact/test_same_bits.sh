#!/bin/sh
# The small run of script/exact.sh: equal digests for every number of workers, border, instruction set and interruption.
exec sh "$(dirname "$0")/../../script/exact.sh" small
