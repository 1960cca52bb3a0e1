package step

// OpReopen opens a descriptor again through /proc/self/fd.
const OpReopen Op = 70

func init() { opNames[OpReopen] = "reopen" }
