package farm

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ago": func(now, then time.Time) string { return now.Sub(then).Round(time.Second).String() },
}).Parse(pageText))

// Named is the status of one of the teams that share a server; the name of a farm without teams is "".
type Named struct {
	Team string
	*Status
}

// WritePage writes the status as a page of HTML.
func WritePage(w io.Writer, list []Named, now time.Time) error {
	err := page.Execute(w, struct {
		Now   time.Time
		Farms []Named
	}{now.UTC().Truncate(time.Second), list})
	if err != nil {
		return fmt.Errorf("write the page of the farm: %w", err)
	}
	return nil
}
