// Package start writes what starts workers elsewhere: a script for Slurm, and a manifest for Kubernetes.
//
// It starts nothing. Start with Slurm and K8s.
package start

import (
	"crypto/rand"
	"embed"
	"fmt"
	"io"
	"strings"
	"text/template"

	"tokentest/harness/shell"
	"tokentest/harness/usage"
)

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"quote": shell.Quote, "yaml": quoted}).
	ParseFS(files, "*.tmpl"))

// quoted is a text as a double-quoted scalar.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// maxWorkers is what Kubernetes takes as completions of an Indexed Job.
const maxWorkers = 100_000

func check(workers int) error {
	if workers < 1 || workers > maxWorkers {
		return usage.Errorf("--workers %d: must be from 1 to %d", workers, maxWorkers)
	}
	return nil
}

// Slurm is an array of workers.
type Slurm struct {
	Workers         int
	Time, Partition string
	Program         string
}

// Write writes the script for sbatch.
func (s *Slurm) Write(w io.Writer, url string) error {
	if err := check(s.Workers); err != nil {
		return err
	}
	for _, text := range []string{s.Time, s.Partition} {
		if strings.ContainsAny(text, " \n\t") {
			return usage.Errorf("%q: must be one word", text)
		}
	}
	return write(w, "slurm.tmpl", struct {
		Slurm
		URL string
	}{*s, url})
}

// K8s is a Job or a Deployment of workers.
type K8s struct {
	Workers int
	Image   string
	KVM     string // the resource of a device plugin; "" is none
	Stay    bool
}

// Write writes the manifest.
func (k *K8s) Write(w io.Writer, url string) error {
	if err := check(k.Workers); err != nil {
		return err
	}
	return write(w, "k8s.tmpl", struct {
		K8s
		URL, Suffix string
	}{*k, url, strings.ToLower(rand.Text()[:6])})
}

func write(w io.Writer, name string, data any) error {
	if err := templates.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("write %s: %w", strings.TrimSuffix(name, ".tmpl"), err)
	}
	return nil
}
