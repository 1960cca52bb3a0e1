package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"tokentest/harness/child"
	"tokentest/kconfig"
)

// stepEvery is how often a long step says how far it is.
const stepEvery = 500 * time.Millisecond

// during tells Options.Step, until stop is called, what text returns: what a long step does and
// how far it is. The last text is empty.
func (o Options) during(text func() string) (stop func()) {
	if o.Step == nil {
		return func() {}
	}
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		o.Step(text())
		tick := time.NewTicker(stepEvery)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				o.Step(text())
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		done.Wait()
		o.Step("")
	})
}

// megabytes is a number of bytes in words.
func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }

// sizeOf is the size of files that a pattern names; a download in progress may have another name
// in the end.
func sizeOf(pattern string) int64 {
	paths, _ := filepath.Glob(pattern) // the pattern is ours
	n := int64(0)
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}

// fetched words how far the download of a package is.
func fetched(p pkg, dir string) func() string {
	return func() string {
		got := sizeOf(filepath.Join(dir, filepath.Base(p.File)+"*"))
		return fmt.Sprintf("fetching %s, %s of %s MB", p.Name, megabytes(got), megabytes(p.Size))
	}
}

// listsText words how far an update of package lists in a directory is. How much there is to fetch
// is not known before.
func listsText(dir string) func() string {
	size := func() int64 { return sizeOf(filepath.Join(dir, "*")) + sizeOf(filepath.Join(dir, "partial", "*")) }
	before := size()
	return func() string { return fmt.Sprintf("updating package lists, %s MB", megabytes(max(0, size()-before))) }
}

// lastPart keeps the last line, or part of one before a carriage return, of what a program prints.
type lastPart struct {
	mu   sync.Mutex
	all  bytes.Buffer
	last string
}

func (l *lastPart) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(text)
	for part := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		l.last = string(part)
	}
	return len(text), nil
}

// updating is git's line about the files that it writes.
var updating = regexp.MustCompile(`^Updating files: +(\d+)% \((\d+)/(\d+)\)`)

// checkoutText words how far a checkout is.
func (l *lastPart) checkoutText(commit string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := updating.FindStringSubmatch(l.last); m != nil {
		return fmt.Sprintf("checking out %.12s, %s of %s files", commit, m[2], m[3])
	}
	return fmt.Sprintf("checking out %.12s", commit)
}

// followed runs a git that shows its progress on the standard error, and returns its error as
// output does.
func followed(cmd *child.Cmd, l *lastPart) error {
	cmd.Stdout, cmd.Stderr = l, l
	if err := cmd.Run(); err != nil {
		return complaintOf(err, l.all.String())
	}
	return nil
}

// compiled is a line of make about one file.
var compiled = regexp.MustCompile(`(?m)^  [A-Z]+ `)

// filesPerOption is about how many files make works on for each option that is y; measured with
// small configurations of 6.12 to 7.3.
const filesPerOption = 2.1

// buildText words how far a build is. The number of files is known, and that roughly, only if all
// are to be built.
func (j *job) buildText() func() string {
	about := ""
	if !exists(j.out, "vmlinux.o") && !exists(j.out, "vmlinux") {
		if config, err := readConfig(filepath.Join(j.out, ".config")); err == nil {
			about = fmt.Sprintf(" of about %d", aboutFiles(config))
		}
	}
	var read int64
	files := 0
	return func() string {
		text, err := readFrom(filepath.Join(j.out, buildLog), read)
		if err == nil {
			read += int64(len(text))
			files += len(compiled.FindAllIndex(text, -1))
		}
		return fmt.Sprintf("building %s, %d%s files", j.Name, files, about)
	}
}

// aboutFiles estimates how many files a configuration builds, in hundreds.
func aboutFiles(c kconfig.Config) int {
	n := 0
	for _, v := range c {
		if v == "y" {
			n++
		}
	}
	return max(1, int(float64(n)*filesPerOption+50)/100) * 100
}

// readFrom reads the whole lines of a file from an offset on.
func readFrom(path string, offset int64) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) <= offset {
		return nil, err
	}
	text = text[offset:]
	return text[:bytes.LastIndexByte(text, '\n')+1], nil
}
