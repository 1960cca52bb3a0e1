package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite the published schemas")

// root is the top of the checkout.
const root = "../.."

// schemas are what is published, each of one type.
var schemas = map[string]struct {
	title string
	of    any
}{
	"run.schema.json":    {"run.json of a tokentest run", Run{}},
	"record.schema.json": {"a line of records.jsonl of a tokentest run: a case, or the set-up of a world", record{}},
	"baseline.schema.json": {"the first line of a tokentest baseline; lines like those of records.jsonl follow",
		baselineHead{}},
}

// TestSchema compares the published schemas with the Go types; go test ./harness/result -update
// publishes a new member.
func TestSchema(t *testing.T) {
	words := comments(t)
	for name, s := range schemas {
		d := &describer{words: words, defs: map[string]any{}}
		top := d.object(reflect.TypeOf(s.of))
		top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		top["title"] = s.title
		top["description"] = "Version 1. Members may be added without a new version: readers ignore what they do not know. " +
			"The version changes when a member changes its meaning."
		top["$defs"] = d.defs
		if reflect.TypeOf(s.of) == reflect.TypeFor[record]() {
			top["anyOf"] = []any{map[string]any{"required": []string{"case", "status", "boot"}},
				map[string]any{"required": []string{"world"}}}
		}
		text, err := json.MarshalIndent(top, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, "results", name)
		if *update {
			if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
			t.Errorf("%s is not what is written (-published +written; -update rewrites):\n%s", path, diff)
		}
	}
}

// describer makes a JSON schema of Go types as encoding/json writes them.
type describer struct {
	words map[string]string // comments, by TYPE.FIELD
	defs  map[string]any
}

func (d *describer) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return d.of(t.Elem())
	case t.Kind() == reflect.Struct && t.Name() != "":
		name := strings.ReplaceAll(t.String(), ".", "_")
		if d.defs[name] == nil {
			d.defs[name] = true // against going round
			d.defs[name] = d.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	}
	if t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()) {
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": d.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "integer"}
}

func (d *describer) object(t reflect.Type) map[string]any {
	props, required := map[string]any{}, []string{}
	d.fields(t, props, &required)
	return map[string]any{"type": "object", "properties": props, "required": required}
}

func (d *describer) fields(t reflect.Type, props map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				d.fields(inner.Elem(), props, new([]string)) // it may be absent
				continue
			}
			d.fields(inner, props, required)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		p := d.of(f.Type)
		if text := d.words[t.Name()+"."+f.Name]; text != "" {
			p["description"] = text
		}
		if t == reflect.TypeFor[CaseResult]() && f.Name == "Status" {
			p["enum"] = Statuses()
		}
		props[name] = p
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// comments reads the comments of the fields of our types.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{"harness/result", "harness/splat", "harness/vm", "cases", "cases/step"} {
		names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok {
					fieldComments(spec.Name.Name, s, out)
				}
				return true
			})
		}
	}
	return out
}

func fieldComments(typ string, s *ast.StructType, out map[string]string) {
	for _, f := range s.Fields.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		for _, name := range f.Names {
			out[typ+"."+name.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join(root, "results", name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, what string, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return s.Validate(v)
}

// validateRun checks a run's directory against the published schemas.
func validateRun(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, compile(t, "run.schema.json"), dir, text); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
	f, err := os.Open(filepath.Join(dir, recordsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := compile(t, "record.schema.json")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if err := validate(t, s, dir, lines.Bytes()); err != nil {
			t.Errorf("%s: %s: %v", dir, lines.Text(), err)
		}
	}
}

// TestRunsAreValid checks new records, and the kept records of older versions, against the schemas.
func TestRunsAreValid(t *testing.T) {
	validateRun(t, save(t, aRun()))
	path := filepath.Join(t.TempDir(), "b.jsonl")
	if err := WriteBaseline(path, aRun()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, records, _ := bytes.Cut(text, []byte("\n"))
	if err := validate(t, compile(t, "baseline.schema.json"), path, head); err != nil {
		t.Error(err)
	}
	s := compile(t, "record.schema.json")
	for line := range bytes.Lines(records) {
		if err := validate(t, s, path, line); err != nil {
			t.Error(err)
		}
	}
	old := kept(t)
	for _, dir := range old {
		validateRun(t, dir)
	}
}

// kept lists the records of older tokentests.
func kept(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("testdata/record-*")
	if err != nil || len(list) == 0 {
		t.Fatalf("no record of an older tokentest is kept: %v", err)
	}
	return list
}

// TestSchemaRefuses: the schemas refuse bad records.
func TestSchemaRefuses(t *testing.T) {
	run, rec := compile(t, "run.schema.json"), compile(t, "record.schema.json")
	for _, tt := range []struct {
		s    *jsonschema.Schema
		text string
	}{
		{run, `{}`}, {run, `{"version":"1"}`}, {run, `[]`},
		{rec, `{}`}, {rec, `{"kernel":0}`}, {rec, `{"kernel":"a","case":"b","status":"pass","boot":0}`},
		{rec, `{"kernel":0,"case":"b","status":"passed","boot":0}`},
		{rec, `{"kernel":0,"case":"b","status":"pass","boot":0,"steps":[{"got":{"errno":"EPERM"}}]}`},
	} {
		if validate(t, tt.s, tt.text, []byte(tt.text)) == nil {
			t.Errorf("%s is taken for valid", tt.text)
		}
	}
	more := `{"kernel":0,"case":"b","status":"pass","boot":0,"added":{"by":"a newer tokentest"}}`
	if err := validate(t, rec, more, []byte(more)); err != nil {
		t.Errorf("a member that a newer tokentest adds: %v", err)
	}
}

// TestOlderAndNewer reads records of older versions, and one of a newer version with unknown members.
func TestOlderAndNewer(t *testing.T) {
	for _, dir := range kept(t) {
		r, err := Load(dir)
		if err != nil || len(r.Kernels) == 0 || r.Kernels[0].Len() == 0 {
			t.Errorf("%s: %+v, %v", dir, r, err)
		}
	}
	dir := save(t, aRun())
	damage(t, dir, runFile, func(s string) string { return strings.Replace(s, "{", `{"newer":{"a":[1]},`, 1) })
	damage(t, dir, recordsFile, func(s string) string {
		return `{"kernel":1,"newer":{"a":1}}` + "\n" + strings.ReplaceAll(s, `"boot":`, `"newer":"x","boot":`)
	})
	seal(t, dir)
	want := aRun()
	want.Dir = dir
	for _, k := range want.Kernels {
		k.Planned = k.Len()
	}
	if got, err := Load(dir); err != nil || len(got.Gaps()) > 0 || !reflect.DeepEqual(without(got), want) {
		t.Errorf("a newer tokentest's: %+v, %v", got, err)
	}
}

// without removes the seal of the records.
func without(r *Run) *Run {
	r.Records = nil
	return r
}

// TestSchemasAreAll finds schemas that nothing uses.
func TestSchemasAreAll(t *testing.T) {
	err := filepath.WalkDir(filepath.Join(root, "results"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".schema.json") && schemas[d.Name()].of == nil {
			t.Errorf("%s is of no type", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
