"""What `aegis up` and `aegis top` run and show: the run itself, its demo, snapshots and their layout."""
