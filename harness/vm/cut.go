package vm

import (
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/splat"
)

// CutOff says how a machine stood that was ended with the program that ran it,
// by what its directory holds. A kernel that had died by then panicked; of any
// other nothing but its findings is known, and that is no fault of its.
func CutOff(dir string, hello bool, allow *splat.Allow) (Exit, error) {
	log, err := os.ReadFile(filepath.Join(dir, consoleLog))
	if err != nil {
		return Exit{}, fmt.Errorf("read the console: %w", err)
	}
	f := facts{done: true, log: splat.Scan(log), allow: allow}
	if hello {
		f.hello = 1
	}
	e := f.exit()
	e.Boot = 0
	if f.log.Fatal != nil && hello {
		return e, nil
	}
	if e.Fate != Tainted {
		e.Fate = Clean
	}
	e.Reason = "it was ended with the run"
	return e, nil
}
