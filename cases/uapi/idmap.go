package uapi

// IDRange is a line of uid_map or gid_map: Count ids of a user namespace from Inner on, which are those from Outer on
// where the map was written.
type IDRange struct{ Inner, Outer, Count uint32 }

// Down mirrors map_id_range_down of kernel/user_namespace.c for one id: what it is outside of the namespace.
func Down(lines []IDRange, id uint32) (outer uint32, ok bool) {
	for _, r := range lines {
		if id >= r.Inner && id-r.Inner < r.Count {
			return r.Outer + id - r.Inner, true
		}
	}
	return 0, false
}

// Up mirrors map_id_up: what an id from outside is inside.
func Up(lines []IDRange, outer uint32) (id uint32, ok bool) {
	for _, r := range lines {
		if outer >= r.Outer && outer-r.Outer < r.Count {
			return r.Inner + outer - r.Outer, true
		}
	}
	return 0, false
}
