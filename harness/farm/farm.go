// Package farm is how a run is spread over many machines: the parts that a run is made of, the answers to them, and the
// queue and the store that carry both.
//
// The queue and the store are NATS JetStream. They are never the source of truth: what is missing is the plan without
// the answers, and what is missing is offered again. An answer counts once: the first one wins.
//
// It runs no machine: package worker does. It makes no plan and merges nothing: package client does. Package server has
// the server. Start with Part and Queue.
package farm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"tokentest/harness/kernel"
	"tokentest/harness/result"
)

// Part is one unit of work: some cases on one kernel, the build of a kernel, or some changes of one kernel to be
// noticed. It is data and never a command line: a worker runs only what tokentest can be asked.
type Part struct {
	Job     string          `json:"job"`
	N       int             `json:"n"`       // from 0
	Attempt int             `json:"attempt"` // how often it was offered before
	Build   string          `json:"build"`   // the program that made it; another one refuses it
	Kernel  kernel.Portable `json:"kernel"`
	Image   Image           `json:"image"`
	// Cases is the digest of the list of the kernel's cases, of which this part has those from From to To. A worker adds
	// the controls.
	Cases    string `json:"cases"`
	From     int    `json:"from"`
	To       int    `json:"to"`
	Settings string `json:"settings"` // the digest of the Settings
	Seed     uint64 `json:"seed,omitempty"`
	Worlds   int    `json:"worlds,omitempty"` // how many the seed generates
	// Order is the digest of a kernel.Order: the part is the build of a kernel, and has nothing of the above.
	Order string `json:"order,omitempty"`
	// Mutants is the digest of changes of the kernel (mutate.Task): the part tries those from From to To. All parts of the
	// job have the same cases.
	Mutants string `json:"mutants,omitempty"`
	Class   Class  `json:"class"`
}

// Image names the image of the guest.
type Image struct {
	Name    string `json:"name"`
	Digest  string `json:"digest"`
	BuildID string `json:"build_id"`
}

// Answer is the answer to a part. It names what it is about by digests, so that two answers can be compared.
type Answer struct {
	Job    string       `json:"job"`
	N      int          `json:"n"`
	Kernel string       `json:"kernel"`
	Image  string       `json:"image"`
	Host   *result.Host `json:"host,omitempty"`
	Worker string       `json:"worker"`
	Accel  string       `json:"accel,omitempty"`
	// Decided digests the statuses and decisions of the cases: answers of the same kernel have the same.
	Decided string `json:"decided,omitempty"`
	Run     string `json:"run,omitempty"` // the digest of the archive of the run's directory
	// Made is what came of a build.
	Made *kernel.Outcome `json:"made,omitempty"`
	// Outcomes is the digest of what became of changes of the kernel.
	Outcomes string        `json:"outcomes,omitempty"`
	Took     time.Duration `json:"took,omitempty"`
	// GivenUp says why there is no run: workers that took the part ended, or had no verdict.
	GivenUp string   `json:"given_up,omitempty"`
	Hosts   []string `json:"hosts,omitempty"` // that tried it, if it was given up
}

// Event is something that happened to a part at a worker.
type Event struct {
	Kind   EventKind `json:"kind"`
	Job    string    `json:"job"`
	N      int       `json:"n"`
	Host   string    `json:"host"`
	Worker string    `json:"worker"`
	Why    string    `json:"why,omitempty"`
	Blob   string    `json:"blob,omitempty"` // the digest of a damaged blob
	At     time.Time `json:"at"`
}

// EventKind is what happened.
type EventKind string

// The kinds of events.
const (
	Started  EventKind = "started"  // a worker took the part
	Returned EventKind = "returned" // it gave the part back without having tried it to the end
	Failed   EventKind = "failed"   // its host failed
	Damaged  EventKind = "damaged"  // a blob was not what its digest says
)

// MostTries is how many workers may begin a part before it is given up: it ends the workers or their hosts.
const MostTries = 5

// decode reads one JSON value, and refuses members that it does not know.
func decode(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the value")
	}
	return nil
}

// Decode reads a part, and refuses one that cannot be right.
func Decode(text []byte) (*Part, error) {
	p := &Part{}
	if err := decode(text, p); err != nil {
		return nil, fmt.Errorf("read a part: %w", err)
	}
	switch {
	case !isWord(p.Job), p.N < 0, p.From < 0, p.To <= p.From, p.Attempt < 0, p.Worlds < 0:
		return nil, fmt.Errorf("read a part: its numbers cannot be right: %.100s", text)
	case p.Order != "":
		if !isDigest(p.Order) || p.Mutants != "" || p.Cases != "" || p.Kernel.Digest != "" || p.Class.Tools == "" {
			return nil, fmt.Errorf("read a part: it is no build: %.100s", text)
		}
	case p.Mutants != "" && !isDigest(p.Mutants), !isDigest(p.Cases), !isDigest(p.Settings), !isDigest(p.Image.Digest),
		!isDigest(p.Kernel.Digest), p.Class.Tools != "":
		return nil, fmt.Errorf("read a part: a digest is none: %.100s", text)
	}
	return p, nil
}
