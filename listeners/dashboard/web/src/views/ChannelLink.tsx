// A channel, named by its topic where the board has it.

import { useBoardOne } from "../base/board.ts";
import type { Transcript } from "../base/boards.ts";
import { visible } from "../base/format.ts";
import { href } from "../base/router.ts";

export function ChannelLink({ channelId }: { channelId: string }) {
  const topic = useBoardOne<Transcript>("channels", channelId).data?.channel.topic;
  return <a href={href("channels", channelId)}>{visible(topic || channelId)}</a>;
}
