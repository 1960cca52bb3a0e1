package oracle

import "tokentest/cases/uapi"

// fix is a change of a decision that stable series took over, where nothing of
// the running kernel tells whether it is there.
type fix struct {
	since  uapi.Release         // of mainline
	stable map[uapi.Release]int // the patch level that has it, of series before
}

func (f *fix) in(k *Kernel) bool {
	if !k.Release.Less(f.since) {
		return true
	}
	patch, taken := f.stable[k.Release]
	return taken && k.Patch >= patch
}

// detachFix is "bpf: Fix tcx/netkit detach permissions when prog fd isn't given"
// (ae23bc81ddf7): before it anybody could detach programs from a device. Seen:
// absent from 6.12.113, 6.16.12, 6.17.13 and 6.18.12, there in 6.12.115, 6.18.15
// and 6.19.6; Debian's changelog has it under 6.12.114.
var detachFix = fix{
	since: uapi.Release{Major: 7, Minor: 0},
	stable: map[uapi.Release]int{
		{Major: 6, Minor: 12}: 114,
		{Major: 6, Minor: 18}: 15,
		{Major: 6, Minor: 19}: 6,
	},
}
