package guest

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// readSettings reads every setting that the kernel has.
func readSettings() map[string]step.Reading {
	out := map[string]step.Reading{}
	for i := range step.Settings {
		s := &step.Settings[i]
		if v, ok := readSetting(s); ok {
			out[s.Name] = step.Reading{Booted: v, Running: v}
		}
	}
	return out
}

// maxSetting is longer than any text that holds a setting.
const maxSetting = 1 << 14

// readSetting reads with one call: a sysctl answers the first alone.
func readSetting(s *step.Setting) (int64, bool) {
	fd, err := unix.Open(s.File, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	text := make([]byte, maxSetting)
	n, err := unix.Read(fd, text)
	if err != nil {
		return 0, false
	}
	return s.Parse(string(text[:n]))
}

// prepare changes the settings that the cases need, and notes the new values in the
// readings. It returns every change.
func prepare(settings map[string]step.Reading) []step.Change {
	changes := append(makePlaces(), liftMemlock())
	for i := range step.Settings {
		s := &step.Settings[i]
		r, ok := settings[s.Name]
		if !ok || s.Change == nil || s.Change.Holds(r.Running) {
			continue
		}
		c := step.Change{Kind: step.ChangeSetting, Name: s.Name, To: s.Spell(s.Change.Value)}
		r.Running, c.Errno = change(s, r.Booted)
		settings[s.Name] = r
		changes = append(changes, c)
	}
	return changes
}

// change changes a setting and returns its value then. What every world
// changes is left to the worlds: 1, which no other value can follow, stays.
func change(s *step.Setting, booted int64) (int64, uapi.Errno) {
	switch {
	case s.Change.Worlds && booted == unprivLocked:
		return booted, uapi.Errno(unix.EPERM)
	case s.Change.Worlds:
		return s.Change.Value, 0
	}
	errno := errnoOf(os.WriteFile(s.File, strconv.AppendInt(nil, s.Change.Value, 10), 0))
	v, ok := readSetting(s)
	if !ok {
		v = booted
	}
	return v, errno
}

// makePlaces makes the directories that actors mount on.
func makePlaces() []step.Change {
	var out []step.Change
	for _, dir := range step.Places[1:] {
		if _, err := os.Stat(dir); err != nil {
			out = append(
				out,
				step.Change{Kind: step.ChangeDirectory, Name: dir, Errno: errnoOf(os.MkdirAll(dir, 0o755))},
			)
		}
	}
	return out
}

// liftMemlock lifts RLIMIT_MEMLOCK for this process and its actors.
func liftMemlock() step.Change {
	err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	return step.Change{Kind: step.ChangeLimit, Name: step.Memlock.Name, To: step.Unlimited, Errno: errnoOf(err)}
}
