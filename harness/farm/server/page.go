package server

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"tokentest/harness/farm"
)

// Page is a web page that shows how the farm stands.
type Page struct {
	URL string

	server *Server
	open   bool // to every process of this host; else the token is asked for
	http   http.Server

	mu     sync.Mutex
	queues []*farm.Queue // one for each URL of the server
	text   []byte
	made   time.Time
}

const (
	pageLasts  = 3 * time.Second // a page is made anew after that
	pageWithin = 30 * time.Second
)

// Page starts a web page. On loopback it is for the processes of this host. Elsewhere it has the certificate of the
// server, and asks for a password, which is the token of the farm.
func (s *Server) Page(listen string) (*Page, error) {
	p := &Page{server: s, open: farm.Loopback(listen)}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("show the farm's page: %w", err)
	}
	scheme := "http"
	if !p.open {
		host, _, _ := net.SplitHostPort(listen)
		c, _, err := certificate(s.store, host)
		if err != nil {
			l.Close()
			return nil, err
		}
		l, scheme = tls.NewListener(l, c), "https"
	}
	host, _, _ := net.SplitHostPort(listen)
	p.URL = fmt.Sprintf("%s://%s/", scheme, reachable(host, l.Addr()))
	p.http = http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go p.http.Serve(l) // until Close
	return p, nil
}

// Close ends the page.
func (p *Page) Close() {
	p.http.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.queues {
		q.Close()
	}
}

// ServeHTTP shows the page.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch _, password, _ := r.BasicAuth(); {
	case p.open && !farm.Loopback(r.Host): // a page of another site that names this address
		http.Error(w, "this page is for this host", http.StatusForbidden)
		return
	case !p.open && !p.knows(password):
		w.Header().Set("WWW-Authenticate", `Basic realm="the token of the farm as the password"`)
		http.Error(w, "the password is the token of the farm", http.StatusUnauthorized)
		return
	case r.Method != http.MethodGet || r.URL.Path != "/":
		http.NotFound(w, r)
		return
	}
	text, err := p.page(r.Context())
	if err != nil {
		http.Error(w, farm.Redact(err.Error()), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Write(text)
}

// knows reports whether a password is the token of the whole server.
func (p *Page) knows(password string) bool {
	return subtle.ConstantTimeCompare([]byte(password), []byte(p.server.token)) == 1
}

// page makes the page, at most one every few seconds.
func (p *Page) page(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.made) < pageLasts {
		return p.text, nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), pageWithin)
	defer stop()
	for _, u := range p.server.URLs[len(p.queues):] {
		q, err := farm.Open(ctx, u, farm.Options{Name: "tokentest farm page"})
		if err != nil {
			return nil, err
		}
		p.queues = append(p.queues, q)
	}
	var list []farm.Named
	for i, q := range p.queues {
		s, err := q.Status(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, farm.Named{Team: p.server.URLs[i].Team, Status: s})
	}
	var out bytes.Buffer
	if err := farm.WritePage(&out, list, time.Now()); err != nil {
		return nil, err
	}
	p.text, p.made = out.Bytes(), time.Now()
	return p.text, nil
}
