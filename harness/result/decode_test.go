package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
)

// TestDecode: the fast path decodes every line as the JSON decoder does.
func TestDecode(t *testing.T) {
	lines := []string{
		`{"kernel":0,"case":"a/b","status":"pass","boot":0,"steps":[{"got":{"errno":1},"id":"r"}]}`,
		`{"kernel":1,"case":"a/c","status":"pass","boot":0,"steps":[{"got":{"errno":1},"id":"r"}]}`,
		`{"kernel":12,"case":"a/c","status":"skip","reason":"no \"x\"","boot":-1}`,
		`{"kernel":0,"case":"quoted\"name","status":"skip","boot":-1}`,
		`{"kernel":0,"case":"a\u00e4","status":"skip","boot":-1}`,
		`{"case":"a/d","kernel":3,"status":"fail","boot":2}`,
		`{ "kernel": 4, "case": "a/e", "status": "pass" }`,
		`{"kernel":0,"world":{"group":"g","index":1,"seen":[{"errno":0}]}}`,
		`{"kernel":1234567,"case":"x","status":"pass","boot":0}`,
		`{"kernel":0,"case":"a/b","status":"pass","boot":0,"added":"by a newer tool"}`,
		`{"kernel":,"case":"a","status":"pass"}`, `{"kernel":0,"case":"a`, `{"kernel":0,"case":"a"`, `{"kernel":0`, ``,
		`{}`, `null`,
	}
	l := &Loader{Worlds: true}
	for range 2 { // the second time from what was kept
		for _, line := range lines {
			var want record
			wantErr := json.Unmarshal([]byte(line), &want)
			if want.CaseResult == nil && want.World == nil || want.Kernel >= 20 {
				wantErr = errors.New("no record of the run")
			}
			got := &Run{}
			for range 20 {
				got.Kernels = append(got.Kernels, &KernelRun{})
			}
			err := l.read(got, bufio.NewReader(strings.NewReader(line+"\n")), newLedger("records", nil, true), 1)
			if (err == nil) != (wantErr == nil) {
				t.Errorf("%s: %v, want %v", line, err, wantErr)
			}
			if err != nil || wantErr != nil {
				continue
			}
			if want.CaseResult != nil {
				want.CaseResult.complete()
			}
			k := got.Kernels[want.Kernel]
			k.Unpack()
			if want.World != nil && !reflect.DeepEqual(k.Worlds, []WorldResult{*want.World}) || want.CaseResult != nil &&
				!reflect.DeepEqual(k.Cases, []CaseResult{*want.CaseResult}) {
				t.Errorf("%s:\n got %+v\nwant %+v", line, k, want)
			}
		}
	}
}

// TestLoader: a Loader reads what Load reads, without what it was told to leave out.
func TestLoader(t *testing.T) {
	r := aRun()
	r.Kernels[0].Worlds = []WorldResult{{Group: "a", Key: "k", Seen: []step.Observation{{Errno: 1}}}}
	r.Kernels[1].Cases = r.Kernels[0].Cases
	dir := save(t, r)
	want, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := &Loader{}
	for range 2 {
		got, err := l.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range got.Kernels {
			if k.Len() != 2 || !reflect.DeepEqual(k.Counts(), want.Kernels[i].Counts()) || len(k.Worlds) != 0 {
				t.Errorf("%d cases, %v", k.Len(), k.Counts())
			}
			if c := k.Find("a/c"); c == nil || !reflect.DeepEqual(*c, want.Kernels[i].Cases[1]) {
				t.Errorf("a/c is %+v", c)
			}
			if c := k.Find("a/b/c"); c != nil {
				t.Errorf("a case that is not there is %+v", c)
			}
			for c := range k.Those(Fail) {
				c.Status = Pass // a copy
			}
			if failed := slices.Collect(k.Those(Fail)); len(failed) != 1 || failed[0].ID != "a/b" {
				t.Errorf("failed cases: %+v", failed)
			}
		}
	}
	if len(l.pool.names) != 2 || len(l.pool.bodies) != 2 {
		t.Errorf("the pool has %d names and %d bodies, want two of each", len(l.pool.names), len(l.pool.bodies))
	}
	got, err := (&Loader{Keep: func(id string) bool { return id == "a/c" }, Worlds: true}).Load(dir)
	if err != nil || got.Kernels[0].Len() != 1 || got.Kernels[0].Find("a/c") == nil || len(got.Kernels[0].Worlds) != 1 {
		t.Errorf("of a/c alone: %+v, %v", got.Kernels[0], err)
	}
}

// TestPack: packing changes no case.
func TestPack(t *testing.T) {
	perm := []StepResult{{Got: step.Observation{Errno: 1}, ID: "r"}}
	want := []CaseResult{
		{ID: "a/1", Status: Pass, Steps: perm}, {ID: "a/2", Status: Pass, Steps: perm},
		{ID: "a/3", Status: Pass, Steps: perm, Boot: 1}, {ID: "a/4", Status: Fail, Reason: "why", Steps: perm},
		{ID: "a/5", Status: Pass, Steps: perm, Times: map[Status]int{Pass: 2}},
		{ID: "a/6", Status: Skip, Reason: "no", Boot: -1},
	}
	k := &KernelRun{Cases: slices.Clone(want)}
	k.pack(newPool())
	if k.Len() != len(want) || len(k.Cases) != 0 || len(k.packed.bodies) != 5 {
		t.Errorf("%d cases with %d bodies", k.Len(), len(k.packed.bodies))
	}
	k.Unpack()
	if !reflect.DeepEqual(k.Cases, want) {
		t.Errorf("got %+v\nwant %+v", k.Cases, want)
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 100)
	in := bufio.NewReaderSize(strings.NewReader("a\n"+long+"\n"+long), 16)
	for _, want := range []string{"a\n", long + "\n"} {
		line, err := readLine(in)
		if string(line) != want || err != nil {
			t.Errorf("got %q, %v, want %q", line, err, want)
		}
	}
	if line, err := readLine(in); err == nil {
		t.Errorf("a torn line is read: %q", line)
	}
}
