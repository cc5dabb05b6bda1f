"""A client that no broker lets in: refused.py URL... prints for each address why, a line each."""

import sys

import pika
import pika.exceptions


def main(urls):
    for url in urls:
        try:
            pika.BlockingConnection(pika.URLParameters(url))
        except pika.exceptions.AMQPConnectionError as error:
            print(repr(error), flush=True)


main(sys.argv[1:])
