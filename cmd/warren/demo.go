package main
import "github.com/urfave/cli/v3"
func demoCommand() *cli.Command { return &cli.Command{Name:"demo"} }
func demoServerCommand() *cli.Command { return &cli.Command{Name:"demo-server", Hidden: true} }
