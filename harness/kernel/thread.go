package kernel

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// letter is a mail of a file with patches.
type letter struct {
	text    []byte
	title   string // the subject without what is before it in brackets
	ids     []string
	answers []string // the mails that it answers
	version int      // 1 if the subject has none
	n, of   int      // 0 if the subject has no numbers
	reply   bool
	diff    bool
}

// arrangement changes whenever arrange reads a thread in another way: applied patches are kept.
const arrangement = "1"

// arrange replaces each file that holds a thread, as archives of mailing lists give it, by the series that b4 am takes
// from it: the patches of the newest version, in order, without answers. git am takes the mails of a file as they come.
// What is no thread stays as it is. dir is for the new files.
func (r *repo) arrange(ctx context.Context, ref, dir string, files []string) ([]string, error) {
	out := slices.Clone(files)
	for i, file := range files {
		mails, err := os.MkdirTemp(dir, "thread-")
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if _, err := r.git(ctx, "mailsplit", "-o"+mails, file); err != nil {
			continue // git am says why
		}
		letters, err := readLetters(mails)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		series, lost := seriesOf(letters)
		if lost != "" {
			return nil, &UsageError{Ref: ref, Reason: fmt.Sprintf("%s is a thread in which %s is missing", file, lost)}
		}
		if series == nil {
			continue
		}
		var mbox bytes.Buffer
		for _, l := range series {
			fmt.Fprintf(&mbox, "From mboxrd@z Thu Jan  1 00:00:00 1970\n%s\n", l.text)
		}
		out[i] = filepath.Join(mails, filepath.Base(file))
		if err := os.WriteFile(out[i], mbox.Bytes(), 0o600); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return out, nil
}

func readLetters(dir string) ([]*letter, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []*letter
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, readLetter(text))
	}
	return out, nil
}

var (
	answerStart = regexp.MustCompile(`(?i)^\s*(?:re|aw|fwd?)\s*:`)
	brackets    = regexp.MustCompile(`^\s*\[([^\]]*)\]`)
	versionWord = regexp.MustCompile(`(?i)^(?:patch)?v([0-9]{1,3})$`)
	numberWord  = regexp.MustCompile(`^([0-9]{1,4})/([0-9]{1,4})$`)
	messageID   = regexp.MustCompile(`<[^<>\s]+>`)
	plainDiff   = regexp.MustCompile(`(?m)^(?:diff --git |--- a/|--- /dev/null)`)
)

func readLetter(text []byte) *letter {
	l := &letter{text: text, version: 1, diff: plainDiff.Match(text) || encoded.Match(text)}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return l
	}
	subject := m.Header.Get("Subject")
	if decoded, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = decoded
	}
	l.reply = answerStart.MatchString(subject)
	l.ids = messageID.FindAllString(m.Header.Get("Message-ID"), 1)
	l.answers = messageID.FindAllString(m.Header.Get("In-Reply-To")+" "+m.Header.Get("References"), -1)
	for {
		b := brackets.FindStringSubmatch(subject)
		if b == nil {
			break
		}
		subject = subject[len(b[0]):]
		for word := range strings.FieldsSeq(b[1]) {
			if v := versionWord.FindStringSubmatch(word); v != nil {
				l.version, _ = strconv.Atoi(v[1])
			} else if n := numberWord.FindStringSubmatch(word); n != nil {
				l.n, _ = strconv.Atoi(n[1])
				l.of, _ = strconv.Atoi(n[2])
			}
		}
	}
	l.title = strings.TrimSpace(subject)
	return l
}

// seriesOf returns the newest series of a thread; nil if the mails are no thread, or git am reads it the same way. lost
// names a patch that is missing.
func seriesOf(letters []*letter) (series []*letter, lost string) {
	var patches []*letter
	others := false // a mail has a diff that is no patch
	for _, l := range letters {
		switch {
		case l.reply:
			others = others || l.diff
		case l.diff && l.n == 0 && l.of > 0: // a cover letter, which quotes a diff
			others = true
		case l.diff:
			patches = append(patches, l)
		}
	}
	newest := patches
	if version := newestVersion(patches); version > 0 && related(letters) {
		newest = slices.DeleteFunc(slices.Clone(patches), func(l *letter) bool { return l.version != version })
	}
	for _, l := range newest {
		if l.of == 0 || l.of != newest[0].of {
			return onlyIf(others || len(newest) < len(patches), newest), "" // several series, or patches without numbers
		}
	}
	ordered := slices.Clone(newest)
	slices.SortStableFunc(ordered, func(a, b *letter) int { return a.n - b.n })
	if slices.ContainsFunc(ordered[:max(0, len(ordered)-1)], func(l *letter) bool {
		return ordered[slices.Index(ordered, l)+1].n == l.n
	}) {
		return onlyIf(others, newest), "" // two series of the same length
	}
	if slices.Equal(ordered, patches) && !others {
		return nil, ""
	}
	for i, l := range ordered {
		if l.n != i+1 {
			return nil, fmt.Sprintf("patch %d/%d", i+1, l.of)
		}
	}
	if n := len(ordered); n > 0 && n != ordered[0].of {
		return nil, fmt.Sprintf("patch %d/%d", n+1, ordered[0].of)
	}
	return ordered, ""
}

func onlyIf(ok bool, l []*letter) []*letter {
	if !ok {
		return nil
	}
	return l
}

// newestVersion is the newest of several versions; 0 if there is only one.
func newestVersion(patches []*letter) int {
	newest, several := 0, false
	for _, l := range patches {
		several = several || l.version != patches[0].version
		newest = max(newest, l.version)
	}
	if !several {
		return 0
	}
	return newest
}

// related reports whether mails of different versions belong together: one answers another, or they have a title in
// common. Otherwise they are different series, and all of them are applied.
func related(letters []*letter) bool {
	for _, a := range letters {
		for _, b := range letters {
			if a.version == b.version || a.reply || b.reply {
				continue
			}
			answers := func(id string) bool { return slices.Contains(b.answers, id) }
			if a.title != "" && a.title == b.title || slices.ContainsFunc(a.ids, answers) {
				return true
			}
		}
	}
	return false
}
