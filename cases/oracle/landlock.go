package oracle

// landlock is a check of security/landlock/fs.c, of a thread whose domain allows no access to files.
func landlock[R any](fn, what string) rule[R] {
	return rule[R]{id: "landlock", fn: fn, errno: eACCES, text: "the thread's Landlock domain does not allow " + what,
		holds: func(c *call[R]) bool { return c.Sandbox }}
}
