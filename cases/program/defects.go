package program

// OpReopen opens a descriptor again through /proc/self/fd.
const OpReopen Op = 70

func init() { opNames[OpReopen] = "reopen" }

// KeyNoFD has a call made while the process may open no more descriptors.
const KeyNoFD Key = 220
