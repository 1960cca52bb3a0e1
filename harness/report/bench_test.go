package report

import (
	"fmt"
	"io"
	"testing"

	"tokentest/harness/result"
)

// BenchmarkWrite renders 100,000 decisions, one in a hundred of them wrong.
func BenchmarkWrite(b *testing.B) {
	k := newKernel("deb:trixie")
	for i := range 100_000 {
		id := fmt.Sprintf("map_create/maps/owner/CAP_BPF/with/%d", i)
		if i%100 == 0 {
			k.Cases = append(k.Cases, failed(id, stepResult("owner map_create type=hash token=t", 0, eperm)))
			continue
		}
		k.Cases = append(k.Cases, passed(id, eperm))
	}
	r := newRun(k, &result.KernelRun{Ref: "deb:nowhere", Error: "no such suite"})
	for _, format := range Formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Write(format, r, io.Discard, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
