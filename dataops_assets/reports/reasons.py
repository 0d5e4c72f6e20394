"""What each reason code means to the vendor who delivered, and what to do about it. `docs/vendors.md` prints the same codes."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """A sentence about what was found, and one about what helps."""

    means: str
    do: str


OF_DELIVERIES: dict[str, Reason] = {
    "INCOMPLETE": Reason(
        "The delivery is still being copied or fetched, or it changed while we read it.",
        "Finish the copy, then put an empty file _COMPLETE into the folder. Nothing else is needed; a list is fetched by itself.",
    ),
    "UNREADABLE": Reason(
        "We can't open it: it may not be read, our disk doesn't give it, or its folders lie too deep in one another.",
        "Let everybody read all files and folders, and put folders less deep. If that is so, upload it again.",
    ),
    "LOOSE_FILE": Reason(
        "The file lies on its own, outside of any delivery.",
        "Put it into a folder together with the others of its delivery.",
    ),
    "EMPTY_DROP": Reason("The delivery holds no file that could be a picture.", "Check the folder you packed and deliver it again."),
    "VENDOR_UNKNOWN": Reason(
        "The folder it lies in is not the name of a vendor of this project.",
        "Ask your contact for the right folder and deliver there.",
    ),
    "MANIFEST_MISSING": Reason(
        "We agreed on a manifest and the delivery has none.",
        "Add manifest.json or manifest.csv at the top of the delivery.",
    ),
    "MANIFEST_INVALID": Reason(
        "The manifest can't be read: it is not UTF-8, or not valid JSON or CSV.",
        "Write it with a program rather than by hand, check that it opens, and deliver again.",
    ),
    "MANIFEST_SCHEMA": Reason(
        "The manifest can be read, but a column or a value is not as agreed: no path, a path twice, a number that is none or too large.",
        "Compare it with the example in the delivery guide and deliver again.",
    ),
    "MANIFEST_FILE_MISSING": Reason(
        "The manifest lists files that did not arrive, or an address of a list gives no file.",
        "Add the missing files, or take them out of the manifest; replace addresses that give nothing.",
    ),
    "UNSAFE_PATH": Reason(
        "A name points outside the delivery: it starts with a slash or a drive, or holds '..', a backslash or a NUL.",
        "Use plain relative names such as photos/a.jpg and pack again.",
    ),
    "LINK_MEMBER": Reason("The delivery holds a link instead of a file.", "Put the file itself in its place and deliver again."),
    "SPECIAL_MEMBER": Reason(
        "The delivery holds something that is neither a file nor a folder, such as a device or a pipe.",
        "Take it out and deliver again.",
    ),
    "BOMB": Reason(
        "Unpacked and with what its list leads to, the delivery is larger than we take, or is packed more tightly than pictures ever are.",
        "Deliver in smaller parts and pack pictures without further tricks.",
    ),
    "TOO_MANY_MEMBERS": Reason("The delivery holds more files than we take at once.", "Split it into several deliveries."),
    "ARCHIVE_CORRUPT": Reason(
        "The archive is damaged or was cut off on its way.",
        "Test the archive on your side, then upload it again under the same name.",
    ),
    "ENCRYPTED": Reason("The archive is protected by a password.", "Pack it without a password and deliver again."),
    "UNSUPPORTED_ARCHIVE": Reason(
        "This kind of archive, or the way it is packed, is not taken.",
        "Use zip, tar, tar.gz, tar.bz2 or tar.xz, or a plain folder.",
    ),
    "POLYGLOT": Reason(
        "The file is an archive and something else at the same time, or its parts contradict each other.",
        "Make a fresh archive that holds the pictures and nothing before or behind them.",
    ),
    "URL_BLOCKED": Reason(
        "The list names an address that we may not fetch: another host than agreed, or not https.",
        "Use addresses on the agreed hosts, or deliver the files themselves.",
    ),
}

OF_ONE_FOR_ALL: dict[str, Reason] = {  # of a file, for which its whole delivery is refused
    "NESTED_ARCHIVE": Reason("The file is an archive inside the delivery.", "Unpack it and deliver its pictures directly."),
    "DUPLICATE_NAME_CONFLICT": Reason(
        "The same name comes twice with different content, and we can't know which one counts.",
        "Give each file a name of its own and redeliver.",
    ),
    "CHECKSUM_MISMATCH": Reason(
        "Size or sha256 differ from what the manifest says: the file was changed or damaged on its way.",
        "Write the manifest last, from the files as they are sent, and redeliver.",
    ),
}

OF_FILES: dict[str, Reason] = {
    "ZERO_BYTE": Reason("The file is empty.", "Export or upload it again."),
    "NOTHING_TO_REDACT": Reason(
        "A person saw something personal in it that our search didn't find, so it couldn't be covered.",
        "Deliver pictures without people's data, or cover it yourself.",
    ),
    "PURGED": Reason("We deleted the file because its retention period had passed.", "Nothing; deliver it again if we ask."),
    "CORRUPT": Reason("The file is damaged: it can't be opened as a picture in full.", "Open it on your side, export it again, redeliver."),
    "TYPE_MISMATCH": Reason(
        "The content is no picture format that we take, or not the one that the file name says.",
        "Export it as JPEG or PNG with the matching ending. Leave out texts and other files.",
    ),
    "MULTI_FRAME": Reason("The file holds several pictures: an animation or pages.", "Deliver each picture as a file of its own."),
    "TOO_LARGE": Reason(
        "The file has more bytes or pixels than we take, or needs too much memory to open.",
        "Scale the picture down below the limits in the delivery guide.",
    ),
    "NAME_TOO_LONG": Reason("The name, folders included, is longer than 1,024 bytes.", "Use shorter names."),
    "DUPLICATE_NAME": Reason("The same name comes twice with the same content.", "Nothing is lost; pack each file once next time."),
    "DUPLICATE_CONTENT": Reason(
        "The same bytes come under another name in this delivery; one of them counts.",
        "Nothing to do; leave copies out next time, they are not paid twice.",
    ),
    "MANIFEST_FILE_UNLISTED": Reason("The manifest does not list this file.", "Add it to the manifest, or leave the file out."),
    "EXTRA_MANIFEST": Reason("There is a second manifest; only one is read.", "Leave one: manifest.json or manifest.csv, at the top."),
    "JUNK_IGNORED": Reason("A file that systems leave behind, such as .DS_Store or Thumbs.db. We pass over it.", "Nothing to do."),
    "LICENSE_REFUSED": Reason(
        "The file names no licence, or one that this project may not use.",
        "Check the licence column. If the right one is agreed, correct it and redeliver; else replace the picture.",
    ),
    "CONSENT_MISSING": Reason(
        "The project needs a consent reference for every file and this one has none.",
        "Add the reference in the manifest's column consent and redeliver.",
    ),
}

OF_SCREENING: dict[str, Reason] = {
    "dark": Reason("The picture is too dark.", "Light the scene better or expose longer."),
    "light": Reason("The picture is too bright; details are washed out.", "Expose less."),
    "blurry": Reason("The picture is out of focus or shaken.", "Focus on the product and hold the camera still."),
    "low_information": Reason("There is next to nothing to see: a plain area or a placeholder.", "Replace it by a real picture."),
    "odd_size": Reason("The picture is far smaller or larger than the others of the delivery.", "Deliver all at about the same size."),
    "odd_aspect_ratio": Reason("The picture is extremely wide or tall.", "Crop it to a usual shape."),
    "grayscale": Reason("The picture has no colour.", "Deliver the colour original."),
    "blocky": Reason("The picture was saved so coarsely that its squares can be seen.", "Export it from the original at a higher quality."),
    "bordered": Reason("Bars or a frame lie around the picture.", "Crop them off."),
    "collage": Reason("Several pictures are put together into one.", "Deliver each as a file of its own."),
    "screenshot": Reason("It is a picture of a screen, a page or a drawing, not a photo.", "Deliver the photo itself."),
    "overlaid_text": Reason("Text lies over the picture.", "Deliver the picture without it."),
    "watermark": Reason("A see-through mark lies over this picture and others of the delivery.", "Deliver the pictures without it."),
    "irrelevant": Reason("The picture doesn't show what the project asked for.", "Deliver pictures of what was agreed."),
    "outlier": Reason("The picture is unlike all others of the delivery.", "Check that it belongs to the delivery."),
    "mislabelled": Reason("The picture looks like another category than the one you named.", "Check its category in the manifest."),
    "exact_duplicate": Reason("The same picture was delivered before.", "Leave it out; deliver another picture instead."),
    "near_duplicate": Reason(
        "The picture is nearly the same as another one: saved again, resized or cropped by a hair.",
        "Deliver pictures that differ in what they show.",
    ),
    "near_refused": Reason(
        "The picture is nearly the same as one that a person refused for what it shows of people.",
        "Deliver pictures without people's data, or cover it yourself.",
    ),
    "more_faces": Reason(
        "It shows a crowd, or so many places that may be faces, that not all of them could be looked at.",
        "Deliver pictures without crowds.",
    ),
    "more_text": Reason("It holds more text than we read in one picture.", "Cover or cut off the text and deliver the picture again."),
    "more_metadata": Reason("The file holds more metadata than we read of one file.", "Remove the metadata before you deliver."),
    "face": Reason("A person's face can be seen.", "Deliver pictures without people, or with faces out of the frame or covered."),
    "e_mail": Reason("An e-mail address can be read in the picture.", "Cover or cut off the text and deliver the picture again."),
    "phone": Reason("A phone number can be read in the picture.", "Cover or cut off the text and deliver the picture again."),
    "iban": Reason("An account number can be read in the picture.", "Cover or cut off the text and deliver the picture again."),
    "card": Reason("The number of a payment card can be read in the picture.", "Cover or cut off the text and deliver the picture again."),
    "plate": Reason("A licence plate can be seen.", "Deliver pictures without vehicles, or with plates covered."),
    "gps": Reason("The file says where the picture was taken.", "Remove the position from the metadata before you deliver."),
    "owner_name": Reason("The file names a person in its metadata.", "Remove names from the metadata before you deliver."),
    "artist": Reason("The file names the photographer in its metadata.", "Remove names from the metadata before you deliver."),
    "contact": Reason("The file holds somebody's address in its metadata.", "Remove addresses from the metadata before you deliver."),
    "person_shown": Reason("The file's metadata name the person in the picture.", "Remove names from the metadata before you deliver."),
    "copyright": Reason("The file's metadata name who holds the rights.", "Remove names from the metadata before you deliver."),
    "serial_number": Reason("The file holds the camera's serial number.", "Remove serial numbers from the metadata before you deliver."),
}

WARNINGS: dict[str, Reason] = {
    "NAME_LONG": Reason("The name is longer than 255 bytes; some systems can't store it.", "Use shorter names."),
    "NAME_CASE_COLLISION": Reason(
        "Names differ in upper and lower case only; on some systems one file replaces the other.",
        "Make names differ in more than case.",
    ),
    "NAME_UNICODE_COLLISION": Reason("Names look the same and are written with different characters.", "Use plain letters and digits."),
    "NAME_CONTROL_CHARS": Reason(
        "The name holds invisible or unreadable characters; we show them as codes.",
        "Use letters, digits, dash, dot and underscore.",
    ),
    "NAME_MARKUP": Reason("The name holds < or >.", "Use letters, digits, dash, dot and underscore."),
    "NAME_FORMULA": Reason("The name starts like a spreadsheet formula, with = + - or @.", "Start names with a letter or a digit."),
    "MANIFEST_UNKNOWN_FIELD": Reason(
        "The manifest has columns that we don't know. They were passed over.",
        "Check the spelling against the delivery guide.",
    ),
    "PRICE_ABOVE_AGREED": Reason(
        "The manifest asks for more than the price we agreed on. The agreed price counts.",
        "Correct the price, or leave it empty; a new price is agreed with your contact first.",
    ),
}

REASONS: dict[str, Reason] = {**OF_DELIVERIES, **OF_ONE_FOR_ALL, **OF_FILES, **OF_SCREENING, **WARNINGS}


def spoken(code: str) -> str:
    """A code or issue as a person says it."""
    return code if code.isupper() else code.replace("e_mail", "e-mail").replace("_", " ")


def explain(code: str) -> Reason:
    """A code's reason; for a code that has none yet, words that keep the reader going."""
    return REASONS.get(code) or Reason("We could not use it for the reason that the code names.", "Ask your contact what to change.")
