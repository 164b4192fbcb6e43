package main

import (
	"fmt"
	"time"
)

// row prints one line of the main table.
func row(what, figure, target, peer string) {
	fmt.Printf("| %s | %s | %s | %s |\n", what, figure, target, peer)
}

// head begins the main table.
func head() {
	fmt.Print("\n| what | measured | to reach | beside |\n| --- | --- | --- | --- |\n")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1e3) }

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
