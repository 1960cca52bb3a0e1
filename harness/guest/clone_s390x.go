package guest

// stackFirst says that the first two arguments of clone(2) are exchanged: CONFIG_CLONE_BACKWARDS2.
const stackFirst = true
