"""What `aegis up` and `aegis top` run and show: the run, its demo, snapshots, the screen, the summary."""
