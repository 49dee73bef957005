"""Types of aircraft: what people call them and what they can do.

Names and figures are public facts from manufacturers' data and type certificates, rounded; `range_nm` is the ferry
range, which no flight exceeds, `runway_ft` what the type needs at a normal weight. They bound what is possible;
nothing is tuned to them. Unlisted types get the figures of `DEFAULT`, which exclude little.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Performance:
    """`cruise_kt` true airspeed, `range_nm` the farthest it can go, `runway_ft` the shortest runway it normally
    uses."""

    name: str
    cruise_kt: float
    range_nm: float
    runway_ft: float


DEFAULT = Performance("", 400.0, 6000.0, 2500.0)

TYPES: dict[str, Performance] = {
    "A124": Performance("An-124", 440, 8100, 8000),
    "A148": Performance("An-148", 430, 2800, 5000),
    "A19N": Performance("A319neo", 450, 4500, 5000),
    "A20N": Performance("A320neo", 450, 4200, 5500),
    "A21N": Performance("A321neo", 450, 4700, 6000),
    "A306": Performance("A300-600", 460, 4800, 6500),
    "A310": Performance("A310", 460, 5500, 6500),
    "A319": Performance("A319", 450, 4300, 5000),
    "A320": Performance("A320", 450, 4000, 5500),
    "A321": Performance("A321", 450, 4200, 6000),
    "A332": Performance("A330-200", 470, 8200, 7000),
    "A333": Performance("A330-300", 470, 7300, 7000),
    "A339": Performance("A330-900", 470, 8300, 7000),
    "A343": Performance("A340-300", 470, 8500, 8000),
    "A346": Performance("A340-600", 475, 8500, 8500),
    "A359": Performance("A350-900", 485, 9700, 7500),
    "A388": Performance("A380", 490, 9500, 8500),
    "A400": Performance("A400M", 390, 5500, 3300),
    "AN12": Performance("An-12", 320, 3600, 5000),
    "AN22": Performance("An-22", 310, 6800, 4500),
    "AN26": Performance("An-26", 235, 1500, 3500),
    "AN72": Performance("An-72", 350, 2600, 3000),
    "AT43": Performance("ATR 42", 270, 1600, 3300),
    "AT45": Performance("ATR 42", 290, 1600, 3300),
    "AT72": Performance("ATR 72", 275, 1700, 3500),
    "AT75": Performance("ATR 72", 275, 1700, 3500),
    "AT76": Performance("ATR 72", 275, 1700, 3500),
    "B190": Performance("Beech 1900", 270, 1600, 3300),
    "B350": Performance("King Air 350", 300, 1900, 3000),
    "B38M": Performance("737 MAX 8", 450, 3900, 5500),
    "B39M": Performance("737 MAX 9", 450, 3900, 6000),
    "B734": Performance("737-400", 430, 2700, 5500),
    "B737": Performance("737-700", 450, 5800, 5000),
    "B738": Performance("737-800", 450, 3500, 5500),
    "B739": Performance("737-900", 450, 3400, 6000),
    "B742": Performance("747-200", 490, 7500, 8000),
    "B744": Performance("747-400", 490, 8000, 8000),
    "B748": Performance("747-8", 490, 8500, 8000),
    "B752": Performance("757-200", 460, 4600, 5500),
    "B762": Performance("767-200", 460, 6700, 6000),
    "B763": Performance("767-300", 460, 6600, 6500),
    "B772": Performance("777-200", 485, 9500, 7500),
    "B77L": Performance("777-200LR", 485, 9900, 8000),
    "B77W": Performance("777-300ER", 485, 8500, 8000),
    "B788": Performance("787-8", 485, 8200, 7000),
    "B789": Performance("787-9", 485, 8500, 7500),
    "BE20": Performance("King Air 200", 280, 1900, 2800),
    "C130": Performance("C-130", 320, 4500, 3500),
    "C17": Performance("C-17", 450, 6500, 3500),
    "C172": Performance("Cessna 172", 115, 800, 1200),
    "C208": Performance("Caravan", 175, 1100, 1800),
    "C30J": Performance("C-130J", 340, 4500, 3300),
    "C5M": Performance("C-5M", 460, 7500, 6000),
    "CL30": Performance("Challenger 300", 460, 3300, 4500),
    "CL35": Performance("Challenger 350", 460, 3400, 4500),
    "CL60": Performance("Challenger 600", 460, 4200, 5000),
    "CRJ2": Performance("CRJ200", 430, 1900, 5000),
    "CRJ7": Performance("CRJ700", 445, 2000, 5000),
    "CRJ9": Performance("CRJ900", 445, 2000, 5500),
    "DH8D": Performance("Dash 8 Q400", 350, 1600, 4000),
    "E145": Performance("ERJ 145", 440, 2000, 5000),
    "E170": Performance("E170", 445, 2500, 5000),
    "E190": Performance("E190", 450, 2800, 5500),
    "E195": Performance("E195", 450, 2600, 5500),
    "E35L": Performance("Legacy 600", 450, 3500, 5500),
    "E75L": Performance("E175", 445, 2400, 5000),
    "E75S": Performance("E175", 445, 2400, 5000),
    "F2TH": Performance("Falcon 2000", 450, 4200, 4500),
    "F900": Performance("Falcon 900", 460, 4800, 4500),
    "FA7X": Performance("Falcon 7X", 480, 6200, 5000),
    "FA8X": Performance("Falcon 8X", 480, 6700, 5000),
    "GL5T": Performance("Global 5000", 490, 5600, 5000),
    "GLEX": Performance("Global Express", 490, 6700, 5500),
    "GLF4": Performance("Gulfstream IV", 460, 4500, 5000),
    "GLF5": Performance("Gulfstream V", 480, 6900, 5500),
    "GLF6": Performance("Gulfstream G650", 490, 7600, 5500),
    "IL18": Performance("Il-18", 340, 3900, 5500),
    "IL62": Performance("Il-62", 470, 5900, 7500),
    "IL76": Performance("Il-76", 430, 5000, 5500),
    "IL96": Performance("Il-96", 470, 7000, 8000),
    "K35R": Performance("KC-135", 460, 9500, 7500),
    "LJ35": Performance("Learjet 35", 440, 2400, 4000),
    "MD11": Performance("MD-11", 480, 7500, 8500),
    "P8": Performance("P-8", 450, 4500, 6000),
    "PC12": Performance("PC-12", 270, 1900, 2500),
    "SB20": Performance("Saab 2000", 360, 1600, 4000),
    "SF34": Performance("Saab 340", 270, 1200, 3500),
    "SU95": Performance("Superjet 100", 450, 2600, 5000),
    "SW4": Performance("Metro", 270, 1600, 3500),
    "T134": Performance("Tu-134", 450, 1900, 6000),
    "T154": Performance("Tu-154", 480, 3600, 6500),
    "T204": Performance("Tu-204/214", 455, 5000, 6500),
    "YK40": Performance("Yak-40", 280, 1000, 3500),
    "YK42": Performance("Yak-42", 400, 2200, 5500),
}


ROTORCRAFT = frozenset((
    "A109", "A119", "A129", "A139", "A149", "A169", "A189", "ALO2", "ALO3", "AS32", "AS3B", "AS50", "AS55", "AS65", "B06",
    "B06T", "B105", "B212", "B214", "B222", "B230", "B407", "B412", "B427", "B429", "B430", "B47G", "B47J", "BK17", "CABR",
    "EC20", "EC25", "EC30", "EC35", "EC45", "EC55", "EC75", "EH10", "EXPL", "FREL", "GAZL", "H2", "H47", "H500", "H53",
    "H53S", "H60", "H64", "HUCO", "KA27", "KA32", "KA50", "KA62", "KMAX", "LAMA", "LYNX", "MD52", "MD60", "MI10", "MI2",
    "MI24", "MI26", "MI28", "MI38", "MI6", "MI8", "NH90", "OH1", "PUMA", "R22", "R44", "R66", "S58T", "S61", "S64", "S65C",
    "S76", "S92", "TIGR", "UH1", "UH1Y", "V22",
))  # fmt: skip
"""Type designators of aircraft that can stand still in the air (ICAO Doc 8643, classes H and T)."""


def performance(typecode: str | None) -> Performance:
    return TYPES.get(typecode or "", DEFAULT)


def type_name(typecode: str | None) -> str:
    """What people call it; the code itself where no name is known, `aircraft` where not even that."""
    if not typecode:
        return "aircraft"
    return performance(typecode).name or typecode
