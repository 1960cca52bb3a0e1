package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
	"tokentest/harness/wire"
)

// checkPrograms finds the programs of this host that cases run, before anything boots.
func checkPrograms(p *plan.Plan) error {
	seen := map[*cases.World]bool{}
	for _, c := range p.Cases {
		if seen[c.World] {
			continue
		}
		seen[c.World] = true
		for _, name := range c.World.Runs {
			if _, err := programFiles(name); err != nil {
				return usage.Errorf("%s: a step runs %s: %v", c.Group.Path, name, err)
			}
		}
	}
	return nil
}

// programFiles are a program of this host and everything that it loads.
func programFiles(name string) ([]File, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	files, err := Gather(path, step.RunPlace(name))
	if err != nil {
		return nil, err
	}
	libraries, err := Libraries(path)
	if err != nil {
		return nil, err
	}
	for _, library := range libraries {
		more, err := Gather(library, library)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// sendPrograms writes the programs that a world's steps run and that were not sent yet.
func sendPrograms(w *cases.World, sent map[string]bool, write func(wire.Kind, []byte) error) error {
	for _, name := range w.Runs {
		if sent[name] {
			continue
		}
		sent[name] = true
		files, err := programFiles(name)
		if err != nil {
			return err
		}
		for i := range files {
			if err := files[i].send(write); err != nil {
				return err
			}
		}
	}
	return nil
}
