package guest

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// answers is a call that answers these in turn, the last for ever.
func answers(errnos ...unix.Errno) (call func() (int, uapi.Errno), made *int) {
	made = new(int)
	return func() (int, uapi.Errno) {
		errno := errnos[min(*made, len(errnos)-1)]
		*made++
		if errno != 0 {
			return noFD, uapi.Errno(errno)
		}
		return 7, 0
	}, made
}

// A call that a signal interrupted is made again, any other error stands.
func TestMaker(t *testing.T) {
	for name, c := range map[string]struct {
		errnos  []unix.Errno
		fd      int
		made    int
		refused []step.Fixture
	}{
		"made":              {[]unix.Errno{0}, 7, 1, nil},
		"interrupted twice": {[]unix.Errno{unix.EAGAIN, unix.EAGAIN, 0}, 7, 3, nil},
		"refused": {[]unix.Errno{unix.EPERM, 0}, noFD, 1, []step.Fixture{{Name: "refused",
			Errno: uapi.Errno(unix.EPERM)}}},
		"always": {[]unix.Errno{unix.EAGAIN}, noFD, maxAgain, []step.Fixture{{Name: "always",
			Errno: uapi.Errno(unix.EAGAIN)}}},
	} {
		m := &maker{}
		call, made := answers(c.errnos...)
		if fd := m.make(name, call); fd != c.fd || *made != c.made || !slices.Equal(m.refused, c.refused) {
			t.Errorf("%s: descriptor %d, %d calls, refused %v", name, fd, *made, m.refused)
		}
	}
}
