// What every Go program here needs.
package main

import "log"

func ptr[T any](v T) *T { return &v }

func must(ok bool, format string, args ...any) {
	if !ok {
		log.Fatalf(format, args...)
	}
}

func try[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
