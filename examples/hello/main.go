// Command hello is a small microservice: GET /api/<service name> greets, POST of JSON to it echoes.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain is how long requests under way may take after SIGTERM.
const drain = 5 * time.Second

func main() {
	name := os.Getenv("SERVICE_NAME")
	if name == "" {
		name = "hello"
	}
	if err := run(name, ":5000"); err != nil {
		log.Fatal(err)
	}
}

func run(name, addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	srv := &http.Server{Addr: addr, Handler: newHandler(name), ReadHeaderTimeout: drain}
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		drained <- srv.Shutdown(ctx)
	}()
	log.Printf("%s listens on %s", name, addr)
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}
