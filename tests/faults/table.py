"""All faults, in the order of the table."""

from tests.faults import disks, inputs, kills, programs, states

FAULTS = [*kills.FAULTS, *disks.FAULTS, *inputs.FAULTS, *states.FAULTS, *programs.FAULTS]
