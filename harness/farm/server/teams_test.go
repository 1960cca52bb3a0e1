package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/kernel"
)

func open(t *testing.T, u *farm.URL) *farm.Queue {
	t.Helper()
	q, err := farm.Open(t.Context(), u, farm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

func testParts(n int) (out []*farm.Part) {
	d := strings.Repeat("ab", 32)
	for i := range n {
		out = append(out, &farm.Part{Job: "job", N: i, Build: "b", Kernel: kernel.Portable{Ref: "k", Digest: d},
			Image: farm.Image{Name: "i", Digest: d}, Cases: d, To: 1, Settings: d, Class: farm.NewClass("b", "auto", 500)})
	}
	return out
}

// Teams that share a server see nothing of each other, and each has a limit of its own.
func TestTeams(t *testing.T) {
	dir := t.TempDir()
	o := Options{Listen: "127.0.0.1:0", Store: dir, Teams: []Team{{"small", 4 << 20, 2}, {"large", 1 << 30, 0}}}
	s := start(t, o)
	small, large := open(t, s.URLs[0]), open(t, s.URLs[1])
	back, err := farm.ParseURL(s.URLs[0].String())
	if err != nil || back.Team != "small" || back.Token != s.URLs[0].Token {
		t.Errorf("got %v, %v", back, err)
	}
	digest, err := large.PutBytes(t.Context(), []byte("a kernel"), false)
	if err != nil || !large.Has(t.Context(), digest) || small.Has(t.Context(), digest) {
		t.Errorf("%v: large %v, small %v", err, large.Has(t.Context(), digest), small.Has(t.Context(), digest))
	}
	random := make([]byte, 8<<20)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	if _, err := small.PutBytes(t.Context(), random, false); !errors.Is(err, farm.ErrFull) {
		t.Errorf("the small team: got %v, want %v", err, farm.ErrFull)
	}
	if _, err := large.PutBytes(t.Context(), random, false); err != nil {
		t.Errorf("the large team: %v", err)
	}
	for team, want := range map[*farm.Queue]int{small: 2, large: 3} {
		if err := team.Offer(t.Context(), testParts(3)); err != nil {
			t.Fatal(err)
		}
		got := 0
		for range 3 {
			if p, err := team.Take(t.Context(), farm.NewClass("b", "auto", 500), time.Second); err != nil {
				t.Fatal(err)
			} else if p != nil {
				got++
			}
		}
		if got != want {
			t.Errorf("%d parts at workers, want %d", got, want)
		}
	}
	u := *s.URLs[0]
	u.Token = s.URLs[1].Token
	if q, err := farm.Open(t.Context(), &u, farm.Options{}); err == nil {
		q.Close()
		t.Error("the token of another team opens the farm")
	}
}

// A server that is started again has the same teams, with what they kept.
func TestTeamsAreKept(t *testing.T) {
	o := Options{Listen: "127.0.0.1:0", Store: t.TempDir(), Teams: []Team{{"a", 1 << 30, 0}}}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	q := open(t, s.URL)
	digest, err := q.PutBytes(t.Context(), []byte("a kernel"), false)
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	s.Stop()
	again := start(t, o)
	if again.URL.Token != s.URL.Token || !open(t, again.URL).Has(t.Context(), digest) {
		t.Error("the team has another token, or lost what it kept")
	}
}

func TestParseTeam(t *testing.T) {
	for text, want := range map[string]Team{"bpf:20": {"bpf", 20 << 30, 0}, "a_1:1:50": {"a_1", 1 << 30, 50}} {
		if got, err := ParseTeam(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "bpf", "bpf:0", "BPF:1", "a b:1", "a:1:0", "a:1:2:3", "a{:1"} {
		if got, err := ParseTeam(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

// fetch gets a page, with a password if it is not "".
func fetch(t *testing.T, url, host, password string) (code int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if password != "" {
		r.SetBasicAuth("me", password)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer c.CloseIdleConnections()
	got, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(body)
}

// The page shows what farm status shows, and no token; a host's words are text.
func TestPage(t *testing.T) {
	s := start(t, Options{Listen: "127.0.0.1:0", Store: t.TempDir()})
	q := open(t, s.URL)
	if err := q.SetJob(t.Context(), &farm.Job{ID: "job", Host: "<b>host", Kernels: []string{"deb:6.12"}, Parts: 3,
		Start: time.Now(), State: farm.Wanted}); err != nil {
		t.Fatal(err)
	}
	if err := q.Offer(t.Context(), testParts(3)); err != nil {
		t.Fatal(err)
	}
	err := q.AddEvent(t.Context(), &farm.Event{Kind: farm.Failed, Job: "job", Host: "sick", Worker: "w", Why: "no <QEMU>"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Page("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	code, text := fetch(t, p.URL, "", "")
	for _, want := range []string{"Workers: 0", "<td>" + farm.NewClass("b", "auto", 500).String() + "</td><td>3</td>",
		"The oldest part was queued", "<td>&lt;b&gt;host</td><td>deb:6.12 </td><td>wanted</td><td>3</td>",
		"<td>sick</td><td>1</td>", "no &lt;QEMU&gt;"} {
		if code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%d: no %q in\n%s", code, want, text)
		}
	}
	if strings.Contains(text, s.URL.Token) {
		t.Error("the page shows the token")
	}
	if code, _ := fetch(t, p.URL, "other.example", ""); code != http.StatusForbidden {
		t.Errorf("for another name: %d", code)
	}
}

// Beyond this host the page has TLS, and asks for the token.
func TestPageElsewhere(t *testing.T) {
	s := start(t, Options{Listen: "127.0.0.1:0", Store: t.TempDir()})
	p, err := s.Page("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !strings.HasPrefix(p.URL, "https://") {
		t.Errorf("got %s", p.URL)
	}
	here := "https://127.0.0.1:" + p.URL[strings.LastIndex(p.URL, ":")+1:]
	for password, want := range map[string]int{"": 401, "wrong": 401, s.URL.Token: 200} {
		if code, text := fetch(t, here, "", password); code != want {
			t.Errorf("%q: %d %s", password, code, text)
		}
	}
}
