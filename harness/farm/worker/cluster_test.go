package worker

import (
	"fmt"
	"net"
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

// Of three servers that keep everything three times the leader goes: each part has one answer.
func TestLeaderIsLost(t *testing.T) {
	routes := freePorts(t, 3)
	var servers []*server.Server
	u := &farm.URL{}
	token := ""
	for i := range 3 {
		dir := t.TempDir()
		if token != "" { // the servers of a cluster have one token
			if err := server.KeepToken(dir, token); err != nil {
				t.Fatal(err)
			}
		}
		mine := append([]string{routes[i]}, append(append([]string{}, routes[:i]...), routes[i+1:]...)...)
		s, err := server.Start(server.Options{Listen: "127.0.0.1:0", Store: dir, Name: fmt.Sprintf("s%d", i), Routes: mine})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		token = s.URL.Token
		servers, u.Token, u.Hosts = append(servers, s), token, append(u.Hosts, s.URL.Hosts...)
	}
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
