package vm

import (
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/splat"
)

// ExitFromLog says how a machine ended whose program ended with it, so that only the
// console log in its directory dir is left. hello says that the guest had said hello.
// A kernel that had died by then panicked. Of any other machine only the findings are
// known, and the missing end is not the kernel's fault: it counts as clean or tainted.
func ExitFromLog(dir string, hello bool, allow *splat.Allow) (Exit, error) {
	log, err := os.ReadFile(filepath.Join(dir, consoleLog))
	if err != nil {
		return Exit{}, fmt.Errorf("read the console: %w", err)
	}
	v := evidence{done: true, log: splat.Scan(log), allow: allow}
	if hello {
		v.hello = 1
	}
	e := v.exit()
	e.Boot = 0
	if v.log.Fatal != nil && hello {
		return e, nil
	}
	if e.Fate != Tainted {
		e.Fate = Clean
	}
	e.Reason = "it was ended with the run"
	return e, nil
}
