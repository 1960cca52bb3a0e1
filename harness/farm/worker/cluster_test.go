package worker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/farm/server"
)

// freePorts are ports of loopback that nobody uses now.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

// startCluster starts three servers that keep everything three times, and returns them with the URL of all. The others
// have copies of the first one's tokens.
func startCluster(t *testing.T, teams ...server.Team) ([]*server.Server, *farm.URL) {
	t.Helper()
	routes := freePorts(t, 3)
	var servers []*server.Server
	u := &farm.URL{}
	first := ""
	for i := range 3 {
		dir := t.TempDir()
		if first == "" {
			first = dir
		} else if err := copyTokens(first, dir); err != nil {
			t.Fatal(err)
		}
		mine := append([]string{routes[i]}, append(append([]string{}, routes[:i]...), routes[i+1:]...)...)
		s, err := server.Start(server.Options{Listen: "127.0.0.1:0", Store: dir, Name: fmt.Sprintf("s%d", i), Routes: mine,
			Teams: teams})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		servers, u.Hosts = append(servers, s), append(u.Hosts, s.URL.Hosts...)
		u.Team, u.Token = s.URL.Team, s.URL.Token
	}
	return servers, u
}

// copyTokens copies the tokens of a server and of its teams.
func copyTokens(from, to string) error {
	list, err := filepath.Glob(filepath.Join(from, "team-*", "token"))
	for _, path := range append(list, filepath.Join(from, "token")) {
		text, failed := os.ReadFile(path)
		name, _ := filepath.Rel(from, path)
		err = errors.Join(err, failed, os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o700),
			os.WriteFile(filepath.Join(to, name), text, 0o600))
	}
	return err
}

// A team of a cluster has its limits, and what it keeps is on all servers.
func TestTeamOfCluster(t *testing.T) {
	servers, u := startCluster(t, server.Team{Name: "a", Bytes: 64 << 20, Parts: 1})
	digest, err := open(t, u).PutBytes(t.Context(), []byte("a kernel"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		one := *u
		one.Hosts = s.URL.Hosts
		if got, err := open(t, &one).GetBytes(t.Context(), digest); err != nil || string(got) != "a kernel" {
			t.Errorf("server %s: %q, %v", s.Name(), got, err)
		}
	}
	q := open(t, u)
	if err := q.Offer(t.Context(), testParts(2)); err != nil {
		t.Fatal(err)
	}
	class := farm.NewClass(testBuild, "auto", 500)
	first, err := q.Take(t.Context(), class, 5*time.Second)
	second, err2 := q.Take(t.Context(), class, time.Second)
	if err := errors.Join(err, err2); err != nil || first == nil || second != nil {
		t.Errorf("parts %v and %v, %v; want one", first, second, err)
	}
}

// Of three servers that keep everything three times the leader goes: each part has one answer.
func TestLeaderIsLost(t *testing.T) {
	servers, u := startCluster(t)
	q := open(t, u)
	n := parts(40)
	for range 2 {
		spawn(t, farm.Variable+"="+u.String(), workerVar+"=50ms")
	}
	if err := q.Offer(t.Context(), testParts(n)); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(t, q, n/4)
	killed := false
	for _, s := range servers {
		if s.JetStreamIsStreamLeader("$G", farm.WorkStream) {
			s.Stop()
			killed = true
			break
		}
	}
	if !killed {
		t.Fatal("no server leads the queue: it is not kept three times")
	}
	// What the queue lost is offered again, as a client does.
	deadline := time.Now().Add(3 * time.Minute)
	for attempt := 1; answers(q) < n && time.Now().Before(deadline); attempt++ {
		time.Sleep(5 * time.Second)
		queued, err := q.Queued(t.Context(), "job")
		if err != nil {
			continue // the others choose a leader
		}
		have, err := q.Answered(t.Context(), "job")
		if err != nil {
			continue
		}
		var lost []*farm.Part
		for _, p := range testParts(n) {
			if p.Attempt = attempt; !queued[p.N] && !have[p.N] {
				lost = append(lost, p)
			}
		}
		q.Offer(t.Context(), lost) // what fails is offered the next time
	}
	if got := answers(q); got != n {
		t.Errorf("%d answers, want %d", got, n)
	}
}
