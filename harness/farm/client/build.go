package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tokentest/harness/cachedir"
	"tokentest/harness/farm"
	"tokentest/harness/kernel"
)

// Builders is how many kernels the farm builds at a time.
func (f *Farm) Builders(ctx context.Context) int {
	n, _ := f.builders(ctx)
	return n
}

// builders counts the places at which kernels are built with the same tools: those of this host, if a worker has them,
// else those of most workers.
func (f *Farm) builders(ctx context.Context) (n int, tools string) {
	workers, err := f.queue.Workers(ctx, look)
	if err != nil {
		return 0, ""
	}
	of := map[string]int{}
	for _, w := range workers {
		if w.Tools != "" && w.Take(farm.BuildClass(f.build, w.Tools)) {
			of[w.Tools] += w.Jobs
		}
	}
	if own := kernelTools(ctx); of[own] > 0 {
		return of[own], own
	}
	for id, count := range of {
		if count > n || count == n && id < tools {
			n, tools = count, id
		}
	}
	return n, tools
}

// Build has the farm build a kernel; it is the Elsewhere of kernel.Options. If no worker builds, it is built here.
func (f *Farm) Build(ctx context.Context, b *kernel.Built, bo kernel.BuildOptions, o kernel.Options) (
	*kernel.Kernel, error,
) {
	o.Elsewhere = nil
	if k := b.Cached(ctx, bo, o); k != nil {
		f.log("%s is built already (%s)", b.Ref, k.Release)
		return k, nil
	}
	n, tools := f.builders(ctx)
	if n == 0 {
		f.sayOnce("no worker of the farm builds kernels: they are built here (tokentest worker --can tcg,build)")
		return b.Build(ctx, bo, o)
	}
	f.sources.Lock() // an order writes references, which another one deletes
	order, err := b.Order(ctx, bo, tools, o)
	f.sources.Unlock()
	if err != nil {
		return nil, err
	}
	made := &kernel.Outcome{}
	if found, err := f.queue.Note(ctx, farm.KernelNote(order.Key), made); err == nil && found {
		var damaged *farm.DamagedError
		if k, err := f.made(ctx, b, order.Key, made, o); !errors.As(err, &damaged) {
			f.log("%s is built already, in the farm", b.Name)
			return k, err
		}
	}
	if order, err = f.order(ctx, b, bo, tools, o); err != nil {
		return nil, err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, fmt.Errorf("encode the order of a build: %w", err)
	}
	p := &farm.Part{To: 1, Class: farm.BuildClass(f.build, tools)}
	if p.Order, err = f.blob(ctx, text); err != nil {
		return nil, err
	}
	f.log("the farm builds %s", b.Name)
	var k *kernel.Kernel
	err = f.do(ctx, []*farm.Part{p}, func(_ int, a *farm.Answer) (err error) {
		if a.Made == nil {
			return fmt.Errorf("build %s: the farm's answer has no kernel", b.Ref)
		}
		if k, err = f.made(ctx, b, order.Key, a.Made, o); err == nil {
			f.log("%s built %s in %.0f s", name(a.Host), b.Name, a.Took.Round(time.Second).Seconds())
		}
		return err
	})
	return k, err
}

func (f *Farm) sayOnce(text string) {
	f.mu.Lock()
	said := f.said
	f.said = true
	f.mu.Unlock()
	if !said {
		f.log("%s", text)
	}
}

// made fetches the kernel that a worker built, or the log that says why there is none.
func (f *Farm) made(ctx context.Context, b *kernel.Built, key string, made *kernel.Outcome, o kernel.Options) (
	*kernel.Kernel, error,
) {
	log := ""
	if made.Log != "" {
		var err error
		if log, err = kernel.KeepLog(key, o); err != nil {
			return nil, err
		}
		if err := f.queue.GetFile(ctx, made.Log, log); err != nil {
			return nil, err
		}
	}
	if err := made.Err(b.Ref, log); err != nil {
		return nil, err
	}
	p := *made.Kernel
	p.Ref, p.Source = b.Ref, b.Name
	return kernel.Import(ctx, p, o, f.queue.GetFile)
}

// bundle is the note about the bundle of a whole source.
type bundle struct {
	Digest string `json:"digest"`
}

// order makes an order whose sources are in the farm. The base goes there whole, once; what follows it as a difference.
func (f *Farm) order(ctx context.Context, b *kernel.Built, bo kernel.BuildOptions, tools string, o kernel.Options) (
	*kernel.Order, error,
) {
	f.sources.Lock()
	defer f.sources.Unlock()
	order, err := b.Order(ctx, bo, tools, o)
	if err != nil {
		return nil, err
	}
	kept := f.kept(ctx, order.Base)
	if kept == "" { // then it can as well be one near to this source
		if err := b.NewBase(ctx); err != nil {
			return nil, err
		}
		if order, err = b.Order(ctx, bo, tools, o); err != nil {
			return nil, err
		}
		kept = f.kept(ctx, order.Base)
	}
	if order.Base.Bundle = kept; kept == "" {
		f.log("the farm gets the sources of %s whole, once", b.Name)
		if order.Base.Bundle, err = f.bundle(ctx, b, order.Base, kernel.Snapshot{}); err != nil {
			return nil, err
		}
		note := bundle{order.Base.Bundle}
		if err := f.queue.PutNote(ctx, farm.SourceNote(order.Base.Commit), note); err != nil {
			return nil, err
		}
	}
	if order.Source.Commit == order.Base.Commit {
		order.Source.Bundle = order.Base.Bundle
		return order, nil
	}
	order.Source.Bundle, err = f.bundle(ctx, b, order.Source, order.Base)
	return order, err
}

// kept is the digest of the bundle of a source, if the farm has it.
func (f *Farm) kept(ctx context.Context, s kernel.Snapshot) string {
	var note bundle
	found, err := f.queue.Note(ctx, farm.SourceNote(s.Commit), &note)
	if err != nil || !found || !f.queue.Has(ctx, note.Digest) {
		return ""
	}
	return note.Digest
}

// bundle stores a bundle, and returns its digest.
func (f *Farm) bundle(ctx context.Context, b *kernel.Built, s, base kernel.Snapshot) (digest string, err error) {
	path := filepath.Join(f.dir, "bundle-"+s.Commit)
	if err := b.Bundle(ctx, s, base, path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if digest, err = cachedir.Digest(path); err != nil {
		return "", err
	}
	if err := f.queue.PutFile(ctx, digest, path, false); err != nil {
		return "", fmt.Errorf("give the farm the sources of %s, of %.1f MB: %w", b.Name, float64(info.Size())/1e6, err)
	}
	f.own(digest, path)
	return digest, nil
}
