package report

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/result"
)

// kcidbSuite is the first part of every test's path, and the origin of a report that names no other.
const kcidbSuite = "tokentest"

var originName = regexp.MustCompile(`^[a-z0-9_]+$`)

// CheckOrigin refuses an origin that KCIDB does not take. A caller can refuse it before it boots anything.
func CheckOrigin(origin string) error {
	if !originName.MatchString(origin) {
		return fmt.Errorf("%s: must be lower-case letters, digits and _", origin)
	}
	return nil
}

// maxExcerpt is what KCIDB takes of a log.
const maxExcerpt = 16384

// The objects of KCIDB's schema, version 5.0, as far as a run knows what they hold.
type (
	kcidbCheckout struct {
		ID        string            `json:"id"`
		Origin    string            `json:"origin"`
		Commit    string            `json:"git_commit_hash,omitempty"`
		Comment   string            `json:"comment,omitempty"`
		StartTime time.Time         `json:"start_time,omitzero"`
		Valid     bool              `json:"valid"`
		Misc      map[string]string `json:"misc,omitempty"`
	}
	kcidbBuild struct {
		CheckoutID   string            `json:"checkout_id"`
		ID           string            `json:"id"`
		Origin       string            `json:"origin"`
		Comment      string            `json:"comment,omitempty"`
		StartTime    time.Time         `json:"start_time,omitzero"`
		Architecture string            `json:"architecture,omitempty"`
		Compiler     string            `json:"compiler,omitempty"`
		Status       string            `json:"status"`
		LogExcerpt   string            `json:"log_excerpt,omitempty"`
		Misc         map[string]string `json:"misc,omitempty"`
	}
	kcidbTest struct {
		BuildID     string            `json:"build_id"`
		ID          string            `json:"id"`
		Origin      string            `json:"origin"`
		Environment *kcidbEnvironment `json:"environment,omitempty"`
		Path        string            `json:"path"`
		Comment     string            `json:"comment,omitempty"`
		Status      string            `json:"status"`
		StartTime   time.Time         `json:"start_time,omitzero"`
		Duration    float64           `json:"duration,omitempty"`
		LogExcerpt  string            `json:"log_excerpt,omitempty"`
		Misc        map[string]string `json:"misc,omitempty"`
	}
	kcidbEnvironment struct {
		Comment string            `json:"comment,omitempty"`
		Misc    map[string]string `json:"misc,omitempty"`
	}
	kcidbIssue struct {
		ID      string          `json:"id"`
		Version int             `json:"version"`
		Origin  string          `json:"origin"`
		Culprit map[string]bool `json:"culprit,omitempty"`
		Comment string          `json:"comment,omitempty"`
	}
	kcidbIncident struct {
		ID           string `json:"id"`
		Origin       string `json:"origin"`
		IssueID      string `json:"issue_id"`
		IssueVersion int    `json:"issue_version"`
		TestID       string `json:"test_id,omitempty"`
		Present      bool   `json:"present"`
	}
)

// issueVersion is the version of every issue: an issue is named by all that is said about it.
const issueVersion = 1

// KCIDB renders a run for KernelCI's database: a checkout and a build for each kernel, a test for
// each case, each machine that did not end well and each whole kernel, and for each cause of
// failures an issue, with an incident for each case.
//
// The tests are encoded one by one, because there can be a million.
func KCIDB(r *result.Run, w io.Writer, o Options) error {
	k := &kcidb{w: bufio.NewWriter(w), run: r, origin: cmp.Or(o.Origin, kcidbSuite), known: map[string]bool{}}
	if err := CheckOrigin(k.origin); err != nil {
		return err
	}
	start := r.Start.UTC().Format(time.RFC3339Nano)
	k.id = digest(start, r.Tool, strings.Join(r.Args, "\x00"))
	k.w.WriteString(`{"version":{"major":5,"minor":0}`)
	k.list("checkouts", k.checkouts)
	k.list("builds", k.builds)
	k.list("tests", k.tests)
	k.list("issues", k.writeIssues)
	k.list("incidents", k.writeIncidents)
	k.w.WriteString("}\n")
	if k.err != nil {
		return fmt.Errorf("encode the report: %w", k.err)
	}
	return flush(k.w)
}

// kcidb writes the objects; it collects issues and incidents while it writes the tests.
type kcidb struct {
	w         *bufio.Writer
	run       *result.Run
	id        string // of the run
	origin    string // names the system that reports, in each object and before each identifier
	comma     bool
	err       error
	known     map[string]bool // the identifiers that were written
	issues    []kcidbIssue
	incidents []kcidbIncident
}

// list writes a list with the objects that write puts.
func (k *kcidb) list(name string, write func()) {
	fmt.Fprintf(k.w, ",\n%q:[", name)
	k.comma = false
	write()
	k.w.WriteString("]")
}

func (k *kcidb) put(object any) {
	text, err := json.Marshal(object)
	k.err = cmp.Or(k.err, err)
	if k.comma {
		k.w.WriteByte(',')
	}
	k.comma = true
	k.w.WriteByte('\n')
	k.w.Write(bytes.ToValidUTF8(text, []byte("?")))
}

// once reports whether an identifier is new.
func (k *kcidb) once(id string) bool {
	was := k.known[id]
	k.known[id] = true
	return !was
}

// digest names what parts say.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// identifier is an identifier of KCIDB.
func (k *kcidb) identifier(parts ...string) string {
	return k.origin + ":" + clean(strings.Join(parts, ":"))
}

// commitHash is the only form of a commit that KCIDB takes.
var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (k *kcidb) checkoutID(kr *run) string {
	return k.identifier("checkout", digest(kr.Commit, kr.Source, cmp.Or(kr.Digest, kr.Ref)))
}

func (k *kcidb) buildID(kr *run) string {
	if kr.Digest == "" {
		return k.identifier("build", digest(kr.Ref, k.id)) // of this run, because it may succeed later
	}
	return k.identifier("build", kr.Digest)
}

// misc drops what is not known.
func misc(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = clean(pairs[i+1])
		}
	}
	return out
}

// misc is misc with what the reader of every object must know of the run.
func (k *kcidb) misc(pairs ...string) map[string]string {
	return misc(append(pairs, "warning", k.run.Damaged())...)
}

// comment is a comment with what its reader must know of the run.
func (k *kcidb) comment(text string) string {
	if why := k.run.Damaged(); why != "" {
		return clean(why) + ": " + text
	}
	return text
}

func (k *kcidb) checkouts() {
	for _, kr := range kernels(k.run) {
		c := kcidbCheckout{ID: k.checkoutID(kr), Origin: k.origin, Comment: clean(cmp.Or(kr.Source, kr.Ref)),
			StartTime: k.run.Start, Valid: true}
		other := kr.Commit
		if commitHash.MatchString(kr.Commit) {
			c.Commit, other = kr.Commit, ""
		}
		c.Misc = k.misc("reference", kr.Ref, "source", kr.Source, "commit", other)
		if k.once(c.ID) {
			k.put(c)
		}
	}
}

func (k *kcidb) builds() {
	for _, kr := range kernels(k.run) {
		b := kcidbBuild{CheckoutID: k.checkoutID(kr), ID: k.buildID(kr), Origin: k.origin, StartTime: k.run.Start,
			Comment: clean(cmp.Or(kr.Release, kr.Ref)), Architecture: arch.Or(arch.Find(kr.Arch)).Machine,
			Compiler: clean(kr.Compiler), Status: "PASS",
			Misc: k.misc("release", kr.Release, "image_sha256", kr.Digest, "config_sha256", kr.ConfigDigest)}
		switch {
		case kr.Unbuilt:
			b.Status = "FAIL"
		case kr.Error != "" && kr.Digest == "":
			b.Status = "MISS"
		}
		b.LogExcerpt = excerpt(kr.Error)
		if k.once(b.ID) {
			k.put(b)
		}
	}
}

// excerpt is a text of several lines in the size that KCIDB takes.
func excerpt(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return cut(strings.Join(lines, "\n"), maxExcerpt)
}

var notInPath = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// testPath is the place of a test in KCIDB's tree of tests: a case's name with dots.
func testPath(name string) string {
	parts := []string{kcidbSuite}
	for _, p := range strings.Split(name, "/") {
		if p != "" {
			parts = append(parts, notInPath.ReplaceAllString(p, "_"))
		}
	}
	return strings.Join(parts, ".")
}

func (k *kcidb) tests() {
	for i, kr := range kernels(k.run) {
		at := func(name string) string { return k.identifier("test", k.id, fmt.Sprint(i), name) }
		env := &kcidbEnvironment{Comment: "QEMU, " + cmp.Or(kr.AccelName, "not started"),
			Misc: misc("accelerator", kr.Accel, "qemu", k.run.QEMU)}
		k.put(kcidbTest{BuildID: k.buildID(kr), ID: at(""), Origin: k.origin, Environment: env, Path: kcidbSuite,
			Comment: k.comment(k.about(kr)), Status: kernelStatus(kr), StartTime: k.run.Start, Duration: kr.Took.Seconds(),
			Misc: k.misc("program", k.run.Program, "command", strings.Join(k.run.Args, " "))})
		shares := kr.shares()
		for c := range kr.All() {
			t := kcidbTest{BuildID: k.buildID(kr), ID: at(c.ID), Origin: k.origin, Path: testPath(c.ID),
				Status: caseStatus(c), StartTime: k.run.Start, Misc: k.misc("case", c.ID)}
			if c.Boot >= 0 && c.Boot < len(shares) && c.Status != result.Skip {
				fmt.Sscan(shares[c.Boot], &t.Duration) // "" leaves 0
			}
			if c.Status != result.Pass {
				t.Comment = clean(why(c))
				k.explain(kr, c, &t)
			}
			k.put(t)
		}
		for b := range kr.Boots {
			if bad(&kr.Boots[b]) {
				k.machine(kr, &kr.Boots[b], at("machine "+kr.Boots[b].Dir))
			}
		}
	}
}

// about counts a kernel's cases, or says why there are none.
func (k *kcidb) about(kr *run) string {
	if why := cmp.Or(kr.untried(), kr.undecided()); why != "" {
		return clean(why)
	}
	return tally(kr.Counts())
}

// explain adds the details of a case that did not pass, and its issue and incident.
func (k *kcidb) explain(kr *run, c *result.CaseResult, t *kcidbTest) {
	if c.Status == result.Skip || c.Status == result.Interrupted {
		return
	}
	t.LogExcerpt = excerpt(strings.ReplaceAll(factLines(kr.details(c)), "]] >", "]]>"))
	culprit := map[string]bool{"code": false, "tool": false, "harness": false}
	switch {
	case c.Status == result.Broken:
		culprit["harness"] = true
	case c.Fault != result.KernelWrong:
		culprit["tool"] = true
	default:
		culprit["code"] = true
	}
	k.incident(k.identifier("issue", digest(causeKey(c))), culprit, groupOf(c.ID)+": "+clean(why(c)), t.ID)
}

// incident records that an issue occurred in a test.
func (k *kcidb) incident(issue string, culprit map[string]bool, comment, test string) {
	if lies := k.run.Lies(); lies != "" { // an issue of its own, which no kernel has
		issue += ":" + digest(lies)
		culprit = map[string]bool{"code": false, "tool": false, "harness": true}
	}
	if k.once(issue) {
		k.issues = append(k.issues, kcidbIssue{ID: issue, Version: issueVersion, Origin: k.origin, Culprit: culprit,
			Comment: k.comment(comment)})
	}
	k.incidents = append(k.incidents, kcidbIncident{ID: k.identifier("incident", digest(issue, test)), Origin: k.origin,
		IssueID: issue, IssueVersion: issueVersion, TestID: test, Present: true})
}

// machine writes the test of a machine that did not end well, with an issue for each finding.
func (k *kcidb) machine(kr *run, b *result.Boot, id string) {
	text := factLines(kr.trouble(b))
	for _, f := range b.Findings {
		text += "\n" + strings.Join(f.Lines, "\n")
	}
	host := infrastructure(b.Fate)
	t := kcidbTest{BuildID: k.buildID(kr), ID: id, Origin: k.origin, Path: testPath("machine"), Status: "FAIL",
		Comment: clean(fmt.Sprintf("%s: %s", b.Fate, b.Reason)), StartTime: k.run.Start, Duration: b.Total.Seconds(),
		LogExcerpt: excerpt(text), Misc: k.misc("directory", b.Dir)}
	if host {
		t.Status = "ERROR"
	}
	k.put(t)
	culprit := map[string]bool{"code": !host, "tool": false, "harness": host}
	if len(b.Findings) == 0 {
		k.incident(k.identifier("issue", digest(string(b.Fate), b.Reason)), culprit, t.Comment, id)
	}
	for _, f := range b.Findings {
		issue := k.identifier("issue", digest(string(f.Kind), cmp.Or(f.Fingerprint, f.Title)))
		k.incident(issue, culprit, clean(f.Title), id)
	}
}

// kernelStatus is the status of all cases of a kernel together.
func kernelStatus(k *run) string {
	switch {
	case k.Error != "":
		return "MISS"
	case k.verdict() == result.ExitDiffers:
		return "FAIL"
	case k.verdict() != result.ExitOK:
		return "ERROR"
	case allSkipped(k.Counts()) != "":
		return "SKIP"
	}
	return "PASS"
}

// caseStatus is the status of a case in KCIDB's words. A case that fails as a list expects is a
// failure with a known issue there.
func caseStatus(c *result.CaseResult) string {
	switch c.Status {
	case result.Pass:
		return "PASS"
	case result.Fail:
		if c.Fault != result.KernelWrong {
			return "ERROR"
		}
		return "FAIL"
	case result.XFail:
		return "FAIL"
	case result.Skip:
		return "SKIP"
	case result.Interrupted:
		return "MISS"
	case result.Broken:
	}
	return "ERROR"
}

func (k *kcidb) writeIssues() {
	for _, i := range k.issues {
		k.put(i)
	}
}

func (k *kcidb) writeIncidents() {
	for _, i := range k.incidents {
		if k.once(i.ID) {
			k.put(i)
		}
	}
}
