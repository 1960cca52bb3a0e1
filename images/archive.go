package images

import (
	"bufio"
	"io"
	"os"

	"github.com/u-root/u-root/pkg/cpio"
)

// layout returns the files of an image, sorted by name; init is the contents of PID 1.
func layout(init string) []cpio.Record {
	return []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1), // the kernel opens it before devtmpfs is mounted
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.StaticFile("init", init, 0o755),
		cpio.Directory("proc", 0o755),
		cpio.Directory("sys", 0o755),
		cpio.Directory("tmp", 0o1777),
	}
}

// writeImage writes the image whose PID 1 is the file init.
func writeImage(path, init string) error {
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeArchive(f, layout(string(program))); err != nil {
		return err
	}
	return f.Close()
}

// writeArchive writes records as a cpio archive that depends only on them.
func writeArchive(w io.Writer, records []cpio.Record) error {
	buf := bufio.NewWriter(w)
	out := cpio.Newc.Writer(buf)
	cpio.MakeAllReproducible(records)
	if err := cpio.WriteRecords(out, records); err != nil {
		return err
	}
	if err := cpio.WriteTrailer(out); err != nil {
		return err
	}
	return buf.Flush()
}
