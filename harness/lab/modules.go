package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tokentest/harness/kernel"
	"tokentest/harness/wire"
)

// modules are the kernel's modules for one machine. The guest asks for one after the other; one that does not waits.
type modules struct {
	mu   sync.Mutex
	tree func() (*kernel.ModuleTree, error)
	sent map[string]bool
}

// modules finds the kernel's modules when they are asked for.
func (t *trial) modules(ctx context.Context) *modules {
	return &modules{sent: map[string]bool{}, tree: sync.OnceValues(func() (*kernel.ModuleTree, error) {
		tree, err := t.kernel.AllModules(ctx, t.lab.kernelOptions(t.out.Ref))
		if err != nil && !errors.Is(err, kernel.ErrNoModules) {
			t.lab.log("modules of %s: %v", t.out.Ref, err)
		}
		return tree, err
	})}
}

// module answers the guest's question for a module. A write fails only if the machine is gone, which the reader
// reports.
func (x *executor) module(name string) {
	x.modules.mu.Lock()
	defer x.modules.mu.Unlock()
	payload, err := wire.EncodeJSON(x.findModule(name))
	if err == nil {
		x.write(wire.KindModule, payload)
	}
}

// findModule sends the files of a module and of what it needs.
func (x *executor) findModule(name string) *wire.ModuleAnswer {
	t := x.session.trial
	tree, err := x.modules.tree()
	if err != nil {
		return &wire.ModuleAnswer{Why: err.Error()}
	}
	steps, ok := tree.Find(name)
	if !ok {
		return &wire.ModuleAnswer{Why: fmt.Sprintf("%s has no such module", t.out.Ref)}
	}
	a := &wire.ModuleAnswer{Found: true}
	for _, s := range steps {
		path := "/lib/modules/" + t.out.Release + "/" + s.Name + ".ko"
		if !x.modules.sent[s.Name] {
			data, err := tree.Read(s.Name)
			if err != nil {
				return &wire.ModuleAnswer{Why: err.Error()}
			}
			if x.sendModule(path, data) != nil {
				return &wire.ModuleAnswer{Why: "the machine is gone"}
			}
			x.modules.sent[s.Name] = true
		}
		a.Load = append(a.Load, wire.ModuleFile{Path: path, Soft: s.Soft})
	}
	return a
}

func (x *executor) sendModule(path string, data []byte) error {
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), wire.MaxFileData)
		f := &wire.File{Path: path, Mode: 0o644, More: !first, Data: data[:n]}
		if err := x.write(wire.KindFile, wire.EncodeFile(f)); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
