%% What the client and the server share.
-module(recipe).

-include_lib("amqp_client/include/amqp_client.hrl").

-export([options/1, open_channel/1, headers/1, text/1, print/1]).

%% Reads --name=value and --name, which has the value true.
options(Arguments) ->
    maps:from_list([option(Argument) || "--" ++ Argument <- Arguments]).

option(Argument) ->
    case string:split(Argument, "=") of
        [Name, Value] -> {Name, Value};
        [Name] -> {Name, true}
    end.

%% Opens a channel on a connection to an address. The caller's end is theirs too.
open_channel(URL) ->
    {ok, At} = amqp_uri:parse(URL),
    {ok, Connection} = amqp_connection:start(At),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    link(Channel),
    {Connection, Channel}.

headers(#'P_basic'{headers = undefined}) -> #{};
headers(#'P_basic'{headers = Table}) -> rabbit_misc:amqp_table(Table).

%% What JSON has for a property that may be missing.
text(undefined) -> null;
text(Text) -> Text.

%% Writes one JSON object on a line of its own: its bytes, whatever the locale is.
print(Object) ->
    ok = io:setopts(standard_io, [{encoding, latin1}]),
    ok = file:write(standard_io, [rabbit_json:encode(Object), $\n]).
