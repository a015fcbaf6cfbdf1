"""What runs the whole of policyhub on one machine: control plane, local Security Hub, sample objects, demo."""
