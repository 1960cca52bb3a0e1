package result

import (
	"bufio"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The fast way decodes every line as the JSON decoder does.
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
		`{"kernel":,"case":"a","status":"pass"}`, `{"kernel":0,"case":"a`, `{"kernel":0,"case":"a"`, `{"kernel":0`, ``, `{}`, `null`,
	}
	d := newRecordDecoder()
	for range 2 { // the second time from what was kept
		for _, line := range lines {
			var want, got record
			wantErr := json.Unmarshal([]byte(line), &want)
			err := d.decode([]byte(line), &got)
			if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v, %v\nwant %+v, %v", line, got, err, want, wantErr)
			}
		}
	}
}

// Cases that share what was kept do not share what can be changed by one.
func TestDecodeShares(t *testing.T) {
	d := newRecordDecoder()
	var a, b record
	for id, rec := range map[string]*record{"a": &a, "b": &b} {
		if err := d.decode([]byte(`{"kernel":0,"case":"`+id+`","status":"pass","boot":0}`), rec); err != nil {
			t.Fatal(err)
		}
	}
	a.Status, a.Reason = Broken, "why"
	if b.Status != Pass || b.Reason != "" || a.ID != "a" || b.ID != "b" {
		t.Errorf("%+v and %+v", a.CaseResult, b.CaseResult)
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
