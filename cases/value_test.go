package cases

import "testing"

// TestValueOf takes the longest of the variables that a text could mean.
func TestValueOf(t *testing.T) {
	v := &axisValue{text: "T", vars: map[string]string{"a": "1", "ab": "2", "a-c": "3"}}
	for _, tt := range []struct{ rest, text, left string }{
		{"", "T", ""}, {"/x", "T", "/x"}, {".", "T", "."}, {".z", "T", ".z"},
		{".a", "1", ""}, {".ab", "2", ""}, {".ab.a", "2", ".a"}, {".a-c", "3", ""}, {".a-d", "1", "-d"}, {".ac=", "1", "c="},
	} {
		if text, left := v.of(tt.rest); text != tt.text || left != tt.left {
			t.Errorf("$x%s is %q and %q, want %q and %q", tt.rest, text, left, tt.text, tt.left)
		}
	}
	if text, left := (&axisValue{text: "T"}).of(".a"); text != "T" || left != ".a" {
		t.Errorf("without variables: %q and %q", text, left)
	}
}
