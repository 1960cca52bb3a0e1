package lab

import (
	"fmt"
	"slices"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
)

// Foresee says what a kernel will say of itself, from its image alone.
func Foresee(k *kernel.Kernel, o kernel.Options) (*step.Facts, error) {
	t, err := k.Types(o, enumTags()...)
	if err != nil {
		return nil, err
	}
	return factsIn(t, k.Release, k.Config), nil
}

// ForeseeFile does the same for a file that has a kernel's BTF in it. release and config
// are what is known of the kernel beside it.
func ForeseeFile(path, release string, config map[string]string) (*step.Facts, error) {
	t, err := kernel.ReadTypes(path, enumTags()...)
	if err != nil {
		return nil, err
	}
	return factsIn(t, release, config), nil
}

func enumTags() []string {
	var tags []string
	for _, e := range cases.Enums() {
		tags = append(tags, e.Tag)
	}
	return tags
}

func factsIn(t *kernel.Types, release string, config map[string]string) *step.Facts {
	if release == "" {
		release = t.Release
	}
	enums := map[string][]step.Enumerator{}
	for tag, list := range t.Enums {
		for _, e := range list {
			enums[tag] = append(enums[tag], step.Enumerator(e))
		}
	}
	return cases.FactsIn(release, enums, config)
}

// foresee reads the image while the machine boots, and keeps what it finds for
// the comparison with what runs.
func (t *trial) foresee() {
	t.foreseen = make(chan *step.Facts, 1)
	go func() {
		f, err := Foresee(t.kernel, kernel.Options{CacheDir: t.lab.CacheDir})
		if err != nil {
			f = nil // an image without BTF, or one that hides it well: the kernel that runs tells
		}
		t.foreseen <- f
	}()
}

// compareForeseen notes where the kernel that runs is another than its image says.
func (t *trial) compareForeseen() {
	before := <-t.foreseen
	if before == nil || t.out.Facts == nil || !t.out.Facts.BTF {
		return
	}
	if d := cases.Differ(before, t.out.Facts); d != "" {
		t.remark(fmt.Sprintf("the BTF in the image and that of the kernel which runs differ: %s", d))
	}
}

// remark adds to the one line that concerns the whole kernel, each remark once.
func (t *trial) remark(s string) {
	if slices.Contains(t.remarks, s) {
		return
	}
	t.remarks = append(t.remarks, s)
	if t.out.Note != "" {
		s = t.out.Note + "; " + s
	}
	t.out.Note = s
}
