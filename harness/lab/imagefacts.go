package lab

import (
	"fmt"
	"slices"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
)

// ImageFacts returns the facts that a kernel will report, read from its image.
func ImageFacts(k *kernel.Kernel, o kernel.Options) (*step.Facts, error) {
	t, err := k.Types(o, enumTags()...)
	if err != nil {
		return nil, err
	}
	return factsIn(t, k.Release, k.Config), nil
}

// FileFacts is ImageFacts for a file that contains a kernel's BTF. The caller passes the
// kernel's release and configuration if it knows them; "" and nil are unknown.
func FileFacts(path, release string, config map[string]string) (*step.Facts, error) {
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

// readImageFacts reads the image while the machine boots, for compareImageFacts.
func (t *trial) readImageFacts() {
	t.imageFacts = make(chan *step.Facts, 1)
	go func() {
		f, err := ImageFacts(t.kernel, kernel.Options{CacheDir: t.lab.CacheDir})
		if err != nil {
			f = nil // the image shows no BTF: only the running kernel reports facts
		}
		t.imageFacts <- f
	}()
}

// compareImageFacts adds a remark if the running kernel differs from its image.
func (t *trial) compareImageFacts() {
	before := <-t.imageFacts
	if before == nil || t.out.Facts == nil || !t.out.Facts.BTF {
		return
	}
	if d := cases.Differ(before, t.out.Facts); d != "" {
		t.remark(fmt.Sprintf("the BTF in the image and that of the running kernel differ: %s", d))
	}
}

// remark adds to the note about the whole kernel, each remark once.
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
