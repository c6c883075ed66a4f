#!/bin/sh
# The greeting dialogue on standard input and output, one shell a connection: for socat.
question="Server: What's your name?"
printf 'Server: Welcome!\n%s' "$question"
while IFS= read -r name; do
    case $name in
    exit)
        printf 'Server: Good bye!\n'
        exit
        ;;
    '') printf %s "$question" ;;
    *) printf 'Server: Hello %s!\n%s' "$name" "$question" ;;
    esac
done
